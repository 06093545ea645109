package keylime

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/prometheus/common/config"

	"funlab.casa/attestation_exporter/httpconfig"
)

// LoadHTTPConfig reads a file in the form that Prometheus calls http_config and
// accepts of it what a reader of Keylime may want: certificates, and TLS versions.
func LoadHTTPConfig(path string) (*config.HTTPClientConfig, error) {
	return httpconfig.Load(path, httpPolicy())
}

func httpPolicy() httpconfig.Policy {
	const (
		identity = "Keylime looks at the client certificate only, and not even at that when there is an Authorization header"
		direct   = "a client certificate is shown to the server itself, never to what stands between"
	)
	return httpconfig.Policy{Refused: map[string]string{
		"authorization":          identity,
		"basic_auth":             identity,
		"bearer_token":           identity,
		"bearer_token_file":      identity,
		"oauth2":                 identity,
		"http_headers":           identity,
		"proxy_url":              direct,
		"proxy_from_environment": direct,
		"proxy_connect_header":   direct,
		"no_proxy":               direct,
	}}
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
