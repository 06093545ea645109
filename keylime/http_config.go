package keylime

import (
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
