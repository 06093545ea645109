package keylime

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/prometheus/common/config"
	"go.yaml.in/yaml/v2"
)

// LoadHTTPConfig reads a file in the form that Prometheus calls http_config and
// accepts of it what a reader of Keylime may want: certificates, and TLS versions.
// Relative paths in it are relative to the file. Errors never quote its text, since
// a key may stand in it.
func LoadHTTPConfig(path string) (*config.HTTPClientConfig, error) {
	text, err := readBounded(path)
	if err != nil {
		return nil, fmt.Errorf("read HTTP configuration: %w", err)
	}
	loaded, err := parseHTTPConfig(text)
	if err != nil {
		return nil, fmt.Errorf("HTTP configuration %s: %w", path, err)
	}
	loaded.SetDirectory(filepath.Dir(path))
	return loaded, nil
}

// parseHTTPConfig refuses unwelcome keys before the form is checked, so that even a
// broken value under one of them is answered by why it isn't wanted.
func parseHTTPConfig(text []byte) (*config.HTTPClientConfig, error) {
	var tree map[string]any
	if err := yaml.Unmarshal(text, &tree); err != nil {
		return nil, withoutText(err)
	}
	if err := allowKeys(tree); err != nil {
		return nil, err
	}
	loaded := &config.HTTPClientConfig{}
	if err := yaml.UnmarshalStrict(text, loaded); err != nil {
		return nil, withoutText(err)
	}
	loaded.FollowRedirects = false
	return loaded, nil
}

// refusedKeys are those that somebody might well try, with the reason why not.
func refusedKeys() map[string]string {
	const (
		identity = "Keylime looks at the client certificate only, and not even at that when there is an Authorization header"
		direct   = "a client certificate is shown to the server itself, never to what stands between"
	)
	return map[string]string{
		"insecure_skip_verify":   "the server's certificate is always verified: set ca_file and, if its name differs, server_name",
		"authorization":          identity,
		"basic_auth":             identity,
		"bearer_token":           identity,
		"bearer_token_file":      identity,
		"oauth2":                 identity,
		"http_headers":           identity,
		"follow_redirects":       "redirects are never followed",
		"proxy_url":              direct,
		"proxy_from_environment": direct,
		"proxy_connect_header":   direct,
		"no_proxy":               direct,
	}
}

// allowKeys refuses every key but those of a plain TLS client.
func allowKeys(tree map[string]any) error {
	for _, key := range slices.Sorted(maps.Keys(tree)) {
		switch {
		case key == "tls_config":
			section, ok := tree[key].(map[any]any)
			if !ok {
				return errors.New("tls_config isn't a section")
			}
			if err := allowTLSKeys(section); err != nil {
				return err
			}
		case key == "enable_http2":
			// Without effect: HTTP/1.1 is what Keylime speaks.
		case key == "follow_redirects" && tree[key] == false:
		default:
			return refusedKey(key)
		}
	}
	return nil
}

func allowTLSKeys(section map[any]any) error {
	allowed := []string{"ca", "ca_file", "cert", "cert_file", "key", "key_file", "server_name", "min_version", "max_version"}
	for key := range section {
		name, _ := key.(string)
		if !slices.Contains(allowed, name) {
			return refusedKey(name)
		}
	}
	return nil
}

func refusedKey(key string) error {
	if why, ok := refusedKeys()[key]; ok {
		return fmt.Errorf("%s is refused: %s", key, why)
	}
	return fmt.Errorf("%.40q isn't a key that has a meaning here", key)
}

// withoutText keeps of a YAML error where it is and drops what stands there.
func withoutText(err error) error {
	line := regexp.MustCompile(`line \d+`).FindString(err.Error())
	if line == "" {
		return errors.New("not YAML of the right form")
	}
	return fmt.Errorf("not YAML of the right form at %s", line)
}

// maxConfig is how long a configuration file may be.
const maxConfig = 1 << 20

// readBounded reads a regular file that isn't longer than a configuration is.
func readBounded(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s isn't a regular file", path)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // Nothing was written.
	text, err := io.ReadAll(io.LimitReader(file, maxConfig+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if len(text) > maxConfig {
		return nil, fmt.Errorf("%s is longer than %d bytes", path, maxConfig)
	}
	return []byte(strings.TrimPrefix(string(text), "\ufeff")), nil
}
