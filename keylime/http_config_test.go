package keylime

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestLoadHTTPConfig(t *testing.T) {
	tests := []struct {
		name, text string
		says       string // empty: accepted
	}{
		{"empty", "", ""},
		{"certificates", "tls_config:\n  ca_file: ca.crt\n  cert_file: /abs/c.crt\n  key_file: c.key\n  server_name: x\n  min_version: TLS12\n", ""},
		{"without redirects", "follow_redirects: false\nenable_http2: true\n", ""},
		{"verification", "tls_config:\n  insecure_skip_verify: true\n", "insecure_skip_verify is refused: the server's certificate is always verified"},
		{"verification by a merged section", "tls_config: &a\n  ca_file: x\n  <<: {insecure_skip_verify: true}\n", "insecure_skip_verify is refused"},
		{"authorization", "authorization:\n  credentials: SECRET\n", "authorization is refused: Keylime looks at the client certificate only"},
		{"basic auth", "basic_auth: {username: u, password: SECRET}\n", "basic_auth is refused"},
		{"bearer token", "bearer_token: SECRET\n", "bearer_token is refused"},
		{"oauth2", "oauth2: {client_id: x}\n", "oauth2 is refused"},
		{"headers", "http_headers: {Authorization: {secrets: [SECRET]}}\n", "http_headers is refused"},
		{"redirects", "follow_redirects: true\n", "follow_redirects is refused: redirects are never followed"},
		{"proxy", "proxy_url: http://user:SECRET@proxy\n", "proxy_url is refused"},
		{"proxy from the environment", "proxy_from_environment: true\n", "proxy_from_environment is refused"},
		{"another key", "tls_config:\n  ca_filr: x\n", `"ca_filr" isn't a key that has a meaning here`},
		{"capitals", "TLS_Config: {}\n", `"TLS_Config" isn't a key`},
		{"twice", "tls_config: {}\ntls_config: {}\n", "at line 2"},
		{"no section", "tls_config: SECRET\n", "tls_config isn't a section"},
		{"a list", "- SECRET\n", "not YAML of the right form at line 1"},
		{"broken", "tls_config: [SECRET\n", "not YAML of the right form at line"},
		{"a certificate without its key", "tls_config:\n  cert_file: c.crt\n", "not YAML of the right form"},
		{"a wrong value", "tls_config:\n  min_version: SECRET\n", "not YAML of the right form"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "http.yml")
			writeFile(t, path, tt.text)
			got, err := LoadHTTPConfig(path)
			if (err == nil) != (tt.says == "") || err != nil && !strings.Contains(err.Error(), tt.says) {
				t.Fatalf("error: got %v, want one that says %q", err, tt.says)
			}
			if err != nil {
				if strings.Contains(err.Error(), "SECRET") || strings.Contains(err.Error(), "\n") {
					t.Errorf("error: got %q, want one line without the file's text", err)
				}
				return
			}
			if got.FollowRedirects || got.ProxyURL.URL != nil {
				t.Errorf("got redirects %t, proxy %v, want neither", got.FollowRedirects, got.ProxyURL)
			}
		})
	}
}

func TestHTTPConfigPaths(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "http.yml")
	writeFile(t, path, "tls_config:\n  ca_file: ca.crt\n  cert_file: /abs/c.crt\n  key_file: c.key\n")
	got, err := LoadHTTPConfig(path)
	if err != nil {
		t.Fatal(err)
	}
	if got.TLSConfig.CAFile != filepath.Join(dir, "ca.crt") || got.TLSConfig.CertFile != "/abs/c.crt" {
		t.Errorf("got %s, %s, want paths relative to the file", got.TLSConfig.CAFile, got.TLSConfig.CertFile)
	}
	if _, err := LoadHTTPConfig(filepath.Join(dir, "nosuch")); err == nil {
		t.Error("a file that isn't there: got no error, want one")
	}
}
