package main

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// An entry is a file on its way into a tarball.
type entry struct{ name, file string }

// tarballEntries are the files that the project names, without code and without what
// git doesn't know, beside the program and its manual pages.
func tarballEntries(ctx context.Context, p project, binary, stage string) ([]entry, error) {
	entries := []entry{{p.name(), binary}}
	manuals, err := filepath.Glob(filepath.Join(stage, "*.1"))
	if err != nil {
		return nil, err
	}
	for _, file := range manuals {
		entries = append(entries, entry{filepath.Base(file), file})
	}
	for _, named := range p.Tarball.Files {
		tracked, err := git(ctx, "ls-files", "--error-unmatch", "--", named)
		if err != nil {
			return nil, fmt.Errorf("tarball.files: %s: %w", named, err)
		}
		for _, file := range withoutCode(strings.Fields(tracked)) {
			entries = append(entries, entry{file, file})
		}
	}
	slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.name, b.name) })
	return entries, nil
}

// withoutCode leaves out Go's files, and folders that are a Go module of their own.
func withoutCode(files []string) []string {
	var modules []string
	for _, file := range files {
		if folder, name := path.Split(file); name == "go.mod" {
			modules = append(modules, folder)
		}
	}
	return slices.DeleteFunc(slices.Clone(files), func(file string) bool {
		inModule := func(folder string) bool { return strings.HasPrefix(file, folder) }
		return path.Ext(file) == ".go" || slices.ContainsFunc(modules, inModule)
	})
}

// writeTarball packs the entries into one folder. Owner, order and times are fixed,
// so that the bytes depend on the content alone.
func writeTarball(output, folder string, entries []entry, s source) (err error) {
	file, err := os.Create(output)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	zipped := gzip.NewWriter(file)
	archive := tar.NewWriter(zipped)
	for _, e := range entries {
		if err := addEntry(archive, folder, e, s); err != nil {
			return fmt.Errorf("%s: %w", e.file, err)
		}
	}
	return errors.Join(archive.Close(), zipped.Close())
}

func addEntry(archive *tar.Writer, folder string, e entry, s source) (err error) {
	file, err := os.Open(filepath.FromSlash(e.file))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	header := &tar.Header{
		Typeflag: tar.TypeReg,
		Name:     path.Join(folder, e.name),
		Size:     info.Size(),
		Mode:     0o644,
		ModTime:  s.Time,
		Format:   tar.FormatPAX,
	}
	if info.Mode()&0o100 != 0 {
		header.Mode = 0o755
	}
	if err := archive.WriteHeader(header); err != nil {
		return err
	}
	_, err = io.Copy(archive, file)
	return err
}
