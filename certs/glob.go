package certs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// maxMatches is how many files one pattern may name. More is a mistake in the
// pattern (or somebody's attack), and the host should not pay for it.
const maxMatches = 10_000

// glob returns the sorted paths that match pattern, at most limit. Unlike
// filepath.Glob it returns the errors of reading directories, since one that may
// not be read looks like an empty one otherwise. What it found in spite of an
// error it returns too.
func glob(ctx context.Context, pattern string, limit int) ([]string, error) {
	if !hasMeta(pattern) {
		return []string{pattern}, nil
	}
	dir, last := filepath.Split(pattern)
	dirs, err := glob(ctx, cleanDir(dir), limit)
	var paths []string
	errs := []error{err}
	for _, dir := range dirs {
		names, err := matchNames(ctx, dir, last, limit-len(paths))
		for _, name := range names {
			paths = append(paths, filepath.Join(dir, name))
		}
		errs = append(errs, err)
		if errors.Is(err, errTooMany) || ctx.Err() != nil {
			break
		}
	}
	slices.Sort(paths)
	return paths, errors.Join(errs...)
}

func cleanDir(dir string) string {
	if dir == "" {
		return "."
	}
	if trimmed := strings.TrimRight(dir, string(filepath.Separator)); trimmed != "" {
		return trimmed
	}
	return string(filepath.Separator)
}

func hasMeta(pattern string) bool { return strings.ContainsAny(pattern, `*?[\`) }

var errTooMany = errors.New("too many files match")

// matchNames returns at most limit names in dir that match. A dir that isn't there
// has none.
func matchNames(ctx context.Context, dir, pattern string, limit int) ([]string, error) {
	d, err := os.OpenFile(dir, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_CLOEXEC, 0)
	if isAbsent(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer d.Close() //nolint:errcheck // Nothing was written.

	var matches []string
	for {
		names, err := d.Readdirnames(256)
		for _, name := range names {
			if ok, err := filepath.Match(pattern, name); err != nil {
				return nil, fmt.Errorf("match %q: %w", pattern, err)
			} else if ok {
				matches = append(matches, name)
			}
		}
		switch {
		case len(matches) > limit:
			return matches[:limit], fmt.Errorf("%w in %s", errTooMany, dir)
		case errors.Is(err, io.EOF):
			return matches, nil
		case err != nil:
			return matches, err
		case ctx.Err() != nil:
			return matches, ctx.Err()
		}
	}
}
