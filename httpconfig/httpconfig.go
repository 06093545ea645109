// Package httpconfig reads files in the form that Prometheus calls http_config,
// and accepts of them what the client at hand has a use for. It knows nothing of
// the servers; why a key is refused is said by the Policy.
package httpconfig

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/prometheus/common/config"
	"go.yaml.in/yaml/v2"

	"funlab.casa/attestation_exporter/regular"
)

// A Policy says what a client accepts beside certificates and TLS versions. The
// zero Policy accepts nothing else.
type Policy struct {
	// BasicAuth accepts a user name and a password, written out or in files.
	BasicAuth bool
	// Refused are keys that somebody might well try, with the reason why not.
	Refused map[string]string
}

// Load reads a file. Relative paths in it are relative to the file. Errors never
// quote its text, since a key or a password may stand in it.
func Load(path string, policy Policy) (*config.HTTPClientConfig, error) {
	text, err := regular.Read(path, maxFile, io.ReadAll)
	if err != nil {
		return nil, fmt.Errorf("read HTTP configuration: %w", err)
	}
	loaded, err := parse(bytes.TrimPrefix(text, []byte("\ufeff")), policy)
	if err != nil {
		return nil, fmt.Errorf("HTTP configuration %s: %w", path, err)
	}
	loaded.SetDirectory(filepath.Dir(path))
	return loaded, nil
}

// parse refuses unwelcome keys before the form is checked, so that even a broken
// value under one of them is answered by why it isn't wanted.
func parse(text []byte, policy Policy) (*config.HTTPClientConfig, error) {
	var tree map[string]any
	if err := yaml.Unmarshal(text, &tree); err != nil {
		return nil, withoutText(err)
	}
	if err := policy.allow(tree); err != nil {
		return nil, err
	}
	loaded := &config.HTTPClientConfig{}
	if err := yaml.UnmarshalStrict(text, loaded); err != nil {
		return nil, withoutText(err)
	}
	if err := checkInline(loaded.TLSConfig); err != nil {
		return nil, err
	}
	loaded.FollowRedirects = false
	return loaded, nil
}

// allow refuses every key but those of a plain TLS client and of the policy.
func (p Policy) allow(tree map[string]any) error {
	for _, key := range slices.Sorted(maps.Keys(tree)) {
		var err error
		switch {
		case key == "tls_config":
			err = p.allowSection(tree, key, "ca", "ca_file", "cert", "cert_file", "key", "key_file", "server_name", "min_version", "max_version")
		case key == "basic_auth" && p.BasicAuth:
			err = p.allowSection(tree, key, "username", "username_file", "password", "password_file")
		case key == "enable_http2":
		case key == "follow_redirects" && tree[key] == false:
		default:
			err = p.refuse(key)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (p Policy) allowSection(tree map[string]any, name string, allowed ...string) error {
	section, ok := tree[name].(map[any]any)
	if !ok {
		return fmt.Errorf("%s isn't a section", name)
	}
	for key := range section {
		name, _ := key.(string)
		if !slices.Contains(allowed, name) {
			return p.refuse(name)
		}
	}
	return nil
}

// refuse says why key isn't wanted. Verification and redirects are nobody's choice.
func (p Policy) refuse(key string) error {
	why, known := p.Refused[key]
	switch {
	case key == "insecure_skip_verify":
		why = "the server's certificate is always verified: set ca_file and, if its name differs, server_name"
	case key == "follow_redirects":
		why = "redirects are never followed"
	case !known:
		return fmt.Errorf("%.40q isn't a key that has a meaning here", key)
	}
	return fmt.Errorf("%s is refused: %s", key, why)
}

// withoutText keeps of a YAML error where it is and drops what stands there.
func withoutText(err error) error {
	line := regexp.MustCompile(`line \d+`).FindString(err.Error())
	if line == "" {
		return errors.New("not YAML of the right form")
	}
	return fmt.Errorf("not YAML of the right form at %s", line)
}

// maxFile is how long a file may be.
const maxFile = 1 << 20
