package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
)

// makeArtefacts fills directory, which it empties first, with all that a release
// consists of. What is only on the way there stays in a folder beside it.
func makeArtefacts(ctx context.Context, p project, s source, directory string) error {
	stage := filepath.Clean(directory) + ".stage"
	for _, folder := range []string{directory, stage} {
		if err := os.RemoveAll(folder); err != nil {
			return err
		}
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return err
		}
	}
	platforms, err := p.platforms()
	if err != nil {
		return err
	}
	binary := func(t platform) string { return filepath.Join(stage, t.os+"-"+t.arch, p.name()) }
	for _, target := range platforms {
		if err := build(ctx, p, s, target, binary(target)); err != nil {
			return err
		}
	}
	// The texts are the same for all: they come from the one that runs here.
	if err := writeTexts(ctx, binary(here()), p.name(), stage, s); err != nil {
		return fmt.Errorf("made on %s/%s, which must be one of crossbuild.platforms: %w", runtime.GOOS, runtime.GOARCH, err)
	}
	for _, target := range platforms {
		folder := fmt.Sprintf("%s-%s.%s-%s", p.name(), s.Version, target.os, target.arch)
		entries, err := tarballEntries(ctx, p, binary(target), stage)
		if err != nil {
			return err
		}
		if err := writeTarball(filepath.Join(directory, folder+".tar.gz"), folder, entries, s); err != nil {
			return err
		}
		if err := writeMaterials(ctx, target, binary(target), filepath.Join(directory, folder+".cdx.json"), s); err != nil {
			return err
		}
		if err := writePackages(ctx, stage, directory, target, s); err != nil {
			return err
		}
	}
	return writeChecksums(directory)
}

// writePackages makes the deb and the rpm from packaging/nfpm.yaml.
func writePackages(ctx context.Context, stage, directory string, target platform, s source) error {
	variables := []string{
		"STAGE=" + stage,
		"BINARIES=" + filepath.Join(stage, target.os+"-"+target.arch),
		"ARCH=" + target.arch,
		"VERSION=" + s.Version,
		"SOURCE_DATE_EPOCH=" + strconv.FormatInt(s.Time.Unix(), 10),
	}
	for _, packager := range []string{"deb", "rpm"} {
		err := command(ctx, variables, "nfpm", "package", "--config", "packaging/nfpm.yaml", "--packager", packager, "--target", directory)
		if err != nil {
			return err
		}
	}
	return nil
}

// writeMaterials lists the modules in a binary, as CycloneDX. The list is taken from
// the binary itself, so that it names what is in it and not what go.mod allows. The
// platform is taken from the environment all the same.
func writeMaterials(ctx context.Context, target platform, binary, output string, s source) error {
	variables := []string{"GOOS=" + target.os, "GOARCH=" + target.arch}
	return command(ctx, variables, "cyclonedx-gomod", "bin", "-json", "-noserial", "-notimestamp", "-version", "v"+s.Version, "-output", output, binary)
}

const checksums = "sha256sums.txt"

// writeChecksums writes the file that sha256sum --check reads.
func writeChecksums(directory string) error {
	files, err := os.ReadDir(directory)
	if err != nil {
		return err
	}
	var lines strings.Builder
	for _, file := range files {
		sum, err := checksum(filepath.Join(directory, file.Name()))
		if err != nil {
			return err
		}
		fmt.Fprintf(&lines, "%x  %s\n", sum, file.Name())
	}
	return os.WriteFile(filepath.Join(directory, checksums), []byte(lines.String()), 0o644)
}

func checksum(path string) (_ []byte, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	hash := sha256.New()
	if _, err := io.Copy(hash, bufio.NewReader(file)); err != nil {
		return nil, err
	}
	return hash.Sum(nil), nil
}
