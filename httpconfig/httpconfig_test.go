package httpconfig

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What a policy without basic auth refuses is tested in keylime, which has one.
func TestLoadBasicAuth(t *testing.T) {
	policy := Policy{BasicAuth: true}
	tests := []struct {
		name, text string
		says       string // empty: accepted
	}{
		{"password in a file", "basic_auth: {username: u, password_file: secret}\n", ""},
		{"password and certificates", "basic_auth: {username: u, password: SECRET}\ntls_config: {ca_file: ca.crt}\n", ""},
		{"another key", "basic_auth: {username: u, pasword: SECRET}\n", `"pasword" isn't a key that has a meaning here`},
		{"no section", "basic_auth: SECRET\n", "basic_auth isn't a section"},
		{"verification", "basic_auth: {username: u, password: SECRET}\ntls_config: {insecure_skip_verify: true}\n", "insecure_skip_verify is refused"},
		{"header", "authorization: {credentials: SECRET}\n", `"authorization" isn't a key`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "http.yml")
			if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := Load(path, policy)
			if (err == nil) != (tt.says == "") || err != nil && !strings.Contains(err.Error(), tt.says) {
				t.Fatalf("error: got %v, want one that says %q", err, tt.says)
			}
			if err != nil && strings.Contains(err.Error(), "SECRET") {
				t.Errorf("error: got %q, want one without the file's text", err)
			}
			if err == nil && (got.BasicAuth == nil || got.FollowRedirects) {
				t.Errorf("got %v, want basic auth and no redirects", got)
			}
		})
	}
}

func TestLoadIsBounded(t *testing.T) {
	dir := t.TempDir()
	long := filepath.Join(dir, "long.yml")
	if err := os.WriteFile(long, make([]byte, maxFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, long, filepath.Join(dir, "absent.yml")} {
		if _, err := Load(path, Policy{}); err == nil {
			t.Errorf("%s: got no error, want one", path)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("tls_config:\n  ca_file: ca.crt\n  cert_file: c.crt\n  key_file: c.key\n  server_name: x\n")
	f.Add("tls_config: {insecure_skip_verify: true}")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parse([]byte(text), Policy{})
		if err != nil {
			return
		}
		if got.FollowRedirects || got.ProxyURL.URL != nil || got.ProxyFromEnvironment || got.HTTPHeaders != nil ||
			got.Authorization != nil || got.BasicAuth != nil || got.OAuth2 != nil || strings.Contains(got.String(), "verify: true") {
			t.Errorf("got %v, want a plain client", got)
		}
	})
}
