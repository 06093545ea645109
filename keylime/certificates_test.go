package keylime

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"funlab.casa/attestation_exporter/certs"
	"funlab.casa/attestation_exporter/failure"
)

// named shows certificates in short, one a line: the path and who named it.
func named(files []certs.File, root string) []string {
	var lines []string
	for _, f := range files {
		lines = append(lines, strings.ReplaceAll(f.Path+" "+f.From, root, "ROOT"))
	}
	return lines
}

func TestCertificates(t *testing.T) {
	const agent, verifier, registrar, tenant = "etc/keylime/agent.conf", "etc/keylime/verifier.conf", "etc/keylime/registrar.conf", "etc/keylime/tenant.conf"
	tests := []struct {
		name       string
		files, env map[string]string
		want       []string
	}{
		{"no Keylime", nil, nil, nil},
		{"as Keylime ships it", map[string]string{
			verifier: shipped(t, "verifier.conf"), registrar: shipped(t, "registrar.conf"), tenant: shipped(t, "tenant.conf"), agent: shipped(t, "agent.conf"),
		}, nil, []string{
			"/var/lib/keylime/cv_ca/cacert.crt ROOT/etc/keylime/verifier.conf:87",
			"/var/lib/keylime/cv_ca/client-cert.crt ROOT/etc/keylime/verifier.conf:109",
			"/var/lib/keylime/cv_ca/server-cert.crt ROOT/etc/keylime/verifier.conf:59",
			"/var/lib/keylime/iak-cert.crt ROOT/etc/keylime/agent.conf",
			"/var/lib/keylime/idevid-cert.crt ROOT/etc/keylime/agent.conf",
			"/var/lib/keylime/server-cert.crt ROOT/etc/keylime/agent.conf",
		}},
		{"a folder, names, lists and paths", map[string]string{
			verifier: "[verifier]\ntls_dir = /etc/keylime/certs\nserver_cert = \"verifier.crt\"\nclient_cert = default\n" +
				"trusted_client_ca = ['ca-complete-chain.crt', \"/x/y.crt\"]\ntrusted_server_ca = all\n",
		}, nil, []string{
			"/etc/keylime/certs/ca-complete-chain.crt ROOT/etc/keylime/verifier.conf:5",
			"/etc/keylime/certs/client-cert.crt ROOT/etc/keylime/verifier.conf:4",
			"/etc/keylime/certs/verifier.crt ROOT/etc/keylime/verifier.conf:3",
			"/x/y.crt ROOT/etc/keylime/verifier.conf:5",
		}},
		{"one file of two components", map[string]string{
			registrar: "[registrar]\ntls_dir = /c\nserver_cert = a.crt\ntrusted_client_ca =\n",
			tenant:    "[tenant]\ntls_dir = /c\nclient_cert = a.crt\ntrusted_server_ca =\n",
		}, nil, []string{"/c/a.crt ROOT/etc/keylime/registrar.conf:3"}},
		{"a relative folder, a list over two lines, nothing set", map[string]string{
			registrar: "[registrar]\ntls_dir = tls\nserver_cert = ../s.crt\ntrusted_client_ca = [\n  'a.crt',\n  'b.crt' ]\n",
			tenant:    "[tenant]\ntls_dir = tls\n",
		}, nil, []string{
			"/var/lib/keylime/cv_ca/cacert.crt default",
			"/var/lib/keylime/s.crt ROOT/etc/keylime/registrar.conf:3",
			"/var/lib/keylime/tls/a.crt ROOT/etc/keylime/registrar.conf:4",
			"/var/lib/keylime/tls/b.crt ROOT/etc/keylime/registrar.conf:4",
			"/var/lib/keylime/tls/client-cert.crt default",
		}},
		{"what Keylime makes, below KEYLIME_DIR", map[string]string{
			registrar: "[registrar]\ntls_dir = generate\ntrusted_client_ca =\n", agent: "[agent]\nkeylime_dir = \"/not/this\"\nserver_cert = \"\"\niak_cert = \"\"\nidevid_cert = \"\"\n",
		}, map[string]string{"KEYLIME_DIR": "/k"}, []string{"/k/cv_ca/cacert.crt default", "/k/reg_ca/server-cert.crt default"}},
		{"the agent's lists", map[string]string{
			agent: "[agent]\nkeylime_dir = \"/k\"\nserver_cert = \"/e/agent.crt\"\niak_cert = \"\"\nidevid_cert = \"\"\n" +
				"trusted_client_ca = [\"a.crt\", \"b.crt\"]\nregistrar_tls_ca_cert = \"[c.crt, 'd.crt']\"\nverifier_tls_ca_cert = \"a.crt\"\n",
		}, nil, []string{
			"/e/agent.crt ROOT/etc/keylime/agent.conf", "/k/a.crt ROOT/etc/keylime/agent.conf", "/k/b.crt ROOT/etc/keylime/agent.conf",
			"/k/c.crt ROOT/etc/keylime/agent.conf", "/k/d.crt ROOT/etc/keylime/agent.conf",
		}},
		{"the environment", map[string]string{tenant: "[tenant]\nclient_cert = a.crt\ntrusted_server_ca = all\n"},
			map[string]string{"KEYLIME_TENANT_CLIENT_CERT": "/env.crt"}, []string{"/env.crt KEYLIME_TENANT_CLIENT_CERT"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			files := lay(t, tt.files, tt.env)
			got, err := files.Certificates(t.Context())
			if got := named(got, files.root); err != nil || !slices.Equal(got, tt.want) {
				t.Errorf("got %q, %v, want %q", got, err, tt.want)
			}
			if slices.ContainsFunc(got, func(f certs.File) bool { return !f.Optional }) {
				t.Errorf("got %+v, want none that must be there", got)
			}
		})
	}
}

// A part of the configuration that can't be read costs what it names, and no more.
func TestCertificatesOfABrokenConfiguration(t *testing.T) {
	const secret = "SECRET"
	var list strings.Builder
	for i := range maxCertificates {
		fmt.Fprintf(&list, "%d.crt,", i)
	}
	tests := []struct {
		name, verifier, agent string
		says                  string
		want                  int
	}{
		{"INI", "password = " + secret, "[agent]\n", "verifier.conf:1: a line before the first section", 4},
		{"TOML", "[verifier]\n", "[agent]\nserver_key_password = " + secret, "agent.conf:2: not TOML of the right form", 3},
		{"a list of numbers", "[verifier]\n", "[agent]\ntrusted_client_ca = [1]", "agent.conf: trusted_client_ca is neither text", 3},
		{"too many", "[verifier]\ntrusted_client_ca = " + list.String(), "[agent]\n", "names more than 100 certificates", maxCertificates},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := lay(t, map[string]string{"etc/keylime/verifier.conf": tt.verifier, "etc/keylime/agent.conf": tt.agent}, nil).Certificates(t.Context())
			if err == nil || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), secret) || failure.Of(err) != failure.Malformed {
				t.Errorf("error: got %v, want one that says %q and no text", err, tt.says)
			}
			if len(got) != tt.want {
				t.Errorf("got %d files, want %d", len(got), tt.want)
			}
		})
	}
}
