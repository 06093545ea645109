package keylime

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"funlab.casa/attestation_exporter/failure"
	"funlab.casa/attestation_exporter/finding"
)

// Files finds Keylime's configuration where Keylime does (keylime/config.py, and the
// Rust agent's config/base.rs). What a file says is kept for as long as the file stays
// as it is; which files there are is looked at each time. It is safe for concurrent
// use.
type Files struct {
	root      string
	lookupEnv func(name string) (string, bool)

	verifier, registrar, tenant, agent *component
}

// NewFiles puts root in front of /etc and /usr/etc; empty is the system's own root.
// lookupEnv finds the KEYLIME_* names that Keylime itself heeds; nil finds none.
func NewFiles(root string, lookupEnv func(name string) (string, bool)) *Files {
	return &Files{
		root:      root,
		lookupEnv: lookupEnv,
		verifier: &component{name: "verifier", parse: parseINI, keys: []string{
			"uuid", "ip", "port", "quote_interval", "tls_dir", "server_cert", "client_cert", "trusted_client_ca", "trusted_server_ca",
		}},
		registrar: &component{name: "registrar", parse: parseINI, keys: []string{
			"ip", "tls_port", "tls_dir", "server_cert", "trusted_client_ca",
		}},
		tenant: &component{name: "tenant", parse: parseINI, keys: []string{
			"verifier_ip", "registrar_ip", "tls_dir", "client_cert", "trusted_server_ca",
		}},
		agent: &component{name: "agent", parse: parseTOML, keys: []string{
			"uuid", "ip", "port", "enable_agent_mtls", "keylime_dir", "server_cert", "iak_cert", "idevid_cert",
			"trusted_client_ca", "registrar_tls_ca_cert", "verifier_tls_ca_cert",
		}},
	}
}

// paths are the files that the component reads, the later ones over the earlier.
func (f *Files) paths(c *component) ([]string, error) {
	if c == f.agent {
		return f.rustPaths(c.name)
	}
	return f.pythonPaths(c.name)
}

// pythonPaths are those of a Python component: the first base file there is, and the
// snippets of both folders on top.
func (f *Files) pythonPaths(component string) ([]string, error) {
	base := slices.DeleteFunc([]string{f.etc(component), f.usrEtc(component)}, func(path string) bool {
		_, err := os.Stat(path)
		return errors.Is(err, fs.ErrNotExist)
	})
	if len(base) == 0 {
		return nil, nil
	}
	return withSnippets(base[:1], f.usrEtc(component)+".d", f.etc(component)+".d")
}

// rustPaths are those of the agent: everything there is, what is under /etc on top of
// what the distribution ships.
func (f *Files) rustPaths(component string) ([]string, error) {
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

func (f *Files) etc(component string) string {
	return filepath.Join(f.root, "/etc/keylime", component+".conf")
}

func (f *Files) usrEtc(component string) string {
	return filepath.Join(f.root, "/usr/etc/keylime", component+".conf")
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
func (f *Files) chosen(component string, paths []string) (chosen []string, from string) {
	name := prefix(component) + "CONFIG"
	if path, ok := f.env(name); ok && path != "" {
		return []string{path}, name
	}
	return paths, finding.Default
}

func prefix(component string) string { return "KEYLIME_" + strings.ToUpper(component) + "_" }

// read returns those settings of a component that are wanted, out of its files and,
// over all of them, the environment.
func (f *Files) read(ctx context.Context, c *component, wanted []string) (values, error) {
	paths, err := f.paths(c)
	if err != nil {
		return nil, err
	}
	return f.merge(ctx, c, paths, wanted)
}

// merge takes the wanted settings out of the chosen ones of paths in order, later ones
// winning, and out of the environment over all.
func (f *Files) merge(ctx context.Context, c *component, paths, wanted []string) (values, error) {
	paths, _ = f.chosen(c.name, paths)
	if len(paths) == 0 {
		return nil, fmt.Errorf("no %s: %w", f.etc(c.name), ErrAbsent)
	}
	merged := values{}
	for _, path := range paths {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("read Keylime's configuration: %w", err)
		}
		found, err := c.load(path)
		if err != nil {
			return nil, fmt.Errorf("read Keylime's configuration: %w", err)
		}
		if err := merged.take(found, wanted); err != nil {
			return nil, failure.Wrap(failure.Malformed, err)
		}
	}
	c.known.Forget(func(path string) bool { return slices.Contains(paths, path) })
	for _, key := range wanted {
		name := prefix(c.name) + strings.ToUpper(key)
		if text, ok := f.env(name); ok {
			merged[key] = value{text: text, from: name}
		}
	}
	return merged, nil
}

func (f *Files) env(name string) (string, bool) {
	if f.lookupEnv == nil {
		return "", false
	}
	return f.lookupEnv(name)
}
