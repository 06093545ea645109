package keylime

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"funlab.casa/attestation_exporter/failure"
	"funlab.casa/attestation_exporter/finding"
	"funlab.casa/attestation_exporter/regular"
)

// Files finds Keylime's configuration where Keylime does (keylime/config.py, and the
// Rust agent's config/base.rs).
type Files struct {
	// Root is put in front of /etc and /usr/etc; empty is the system's own root.
	Root string
	// LookupEnv finds the KEYLIME_* names that Keylime itself heeds; nil finds none.
	LookupEnv func(name string) (string, bool)
}

// A value is one setting and where it came from, for errors that mustn't quote it.
type value struct {
	text string
	from string // file:line, file, or the name of the environment variable
}

// values holds the settings of one component by key: those of an allow-list.
type values map[string]value

// A parse takes the allowed keys of a section out of a configuration file. Nothing
// else of the text leaves it, neither in values nor in errors.
type parse func(path string, text []byte, section string, allowed []string) (values, error)

// python reads the configuration of one of the Python components: the first base
// file there is, and the snippets of both folders on top.
func (f Files) python(ctx context.Context, component string, allowed []string) (values, error) {
	paths, err := f.pythonPaths(component)
	if err != nil {
		return nil, err
	}
	return f.merge(ctx, component, paths, parseINI, allowed)
}

func (f Files) pythonPaths(component string) ([]string, error) {
	base := slices.DeleteFunc([]string{f.etc(component), f.usrEtc(component)}, func(path string) bool {
		_, err := os.Stat(path)
		return errors.Is(err, fs.ErrNotExist)
	})
	if len(base) == 0 {
		return nil, nil
	}
	return withSnippets(base[:1], f.usrEtc(component)+".d", f.etc(component)+".d")
}

// rust reads the configuration of the agent: everything there is, what is under /etc
// on top of what the distribution ships.
func (f Files) rust(ctx context.Context, allowed []string) (values, error) {
	const component = "agent"
	paths, err := f.rustPaths(component)
	if err != nil {
		return nil, err
	}
	return f.merge(ctx, component, paths, parseTOML, allowed)
}

func (f Files) rustPaths(component string) ([]string, error) {
	var paths []string
	for _, base := range []string{f.usrEtc(component), f.etc(component)} {
		if _, err := os.Stat(base); !errors.Is(err, fs.ErrNotExist) {
			paths = append(paths, base)
		}
		var err error
		if paths, err = withSnippets(paths, base+".d"); err != nil {
			return nil, err
		}
	}
	return paths, nil
}

func (f Files) etc(component string) string {
	return filepath.Join(f.Root, "/etc/keylime", component+".conf")
}

func (f Files) usrEtc(component string) string {
	return filepath.Join(f.Root, "/usr/etc/keylime", component+".conf")
}

// withSnippets appends the regular files of the folders, each sorted by name.
func withSnippets(paths []string, folders ...string) ([]string, error) {
	for _, folder := range folders {
		entries, err := os.ReadDir(folder)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("look for snippets: %w", err)
		}
		for _, entry := range entries {
			path := filepath.Join(folder, entry.Name())
			if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
				paths = append(paths, path)
			}
		}
	}
	return paths, nil
}

// chosen returns paths and who named them, or the one file that the environment
// names by KEYLIME_<COMPONENT>_CONFIG: it stands in for all of them.
func (f Files) chosen(component string, paths []string) (chosen []string, from string) {
	name := prefix(component) + "CONFIG"
	if path, ok := f.env(name); ok && path != "" {
		return []string{path}, name
	}
	return paths, finding.Default
}

func prefix(component string) string { return "KEYLIME_" + strings.ToUpper(component) + "_" }

// merge parses the chosen ones of paths in order, later ones winning, and the
// environment over all.
func (f Files) merge(ctx context.Context, component string, paths []string, parse parse, allowed []string) (values, error) {
	paths, _ = f.chosen(component, paths)
	if len(paths) == 0 {
		return nil, fmt.Errorf("no %s: %w", f.etc(component), ErrAbsent)
	}
	merged := values{}
	for _, path := range paths {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("read Keylime's configuration: %w", err)
		}
		text, err := readText(path)
		if err != nil {
			return nil, fmt.Errorf("read Keylime's configuration: %w", err)
		}
		found, err := parse(path, text, component, allowed)
		if err != nil {
			return nil, failure.Wrap(failure.Malformed, err)
		}
		maps.Copy(merged, found)
	}
	for _, key := range allowed {
		name := prefix(component) + strings.ToUpper(key)
		if text, ok := f.env(name); ok {
			merged[key] = value{text: text, from: name}
		}
	}
	return merged, nil
}

func (f Files) env(name string) (string, bool) {
	if f.LookupEnv == nil {
		return "", false
	}
	return f.LookupEnv(name)
}

// maxConfig is how long a configuration file may be.
const maxConfig = 1 << 20

// readText reads a configuration file, without the mark that some editors put in
// front of it.
func readText(path string) ([]byte, error) {
	text, err := regular.Read(path, maxConfig, io.ReadAll)
	return bytes.TrimPrefix(text, []byte("\ufeff")), err
}
