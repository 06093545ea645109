package keylime

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"funlab.casa/attestation_exporter/finding"
)

func TestFindings(t *testing.T) {
	root := t.TempDir()
	at := func(path string) string { return filepath.Join(root, path) }
	for path, text := range map[string]string{
		"/etc/keylime/verifier.conf":          "[verifier]\nip = 192.0.2.1\nuuid =\n",
		"/etc/keylime/verifier.conf.d/a.conf": "[verifier]\nport = 8888\n",
		"/etc/keylime/registrar.conf":         "[registrar]\ntls_port = port\n",
		"/usr/etc/keylime/agent.conf":         "[agent]\nip = \"192.0.2.2\"\n",
	} {
		if err := os.MkdirAll(filepath.Dir(at(path)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at(path), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	files := NewFiles(root, nil)
	config := func(path string) finding.Finding { return finding.At("config", at(path), finding.Default) }

	got, err := files.VerifierFindings(t.Context())
	want := []finding.Finding{
		config("/etc/keylime/verifier.conf"), config("/etc/keylime/verifier.conf.d/a.conf"),
		finding.Named("url", "https://192.0.2.1:8888", at("/etc/keylime/verifier.conf:2")),
		finding.Named("id", "default", finding.Default),
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("verifier: got %+v, %v, want %+v", got, err, want)
	}

	got, err = files.RegistrarFindings(t.Context())
	want = []finding.Finding{config("/etc/keylime/registrar.conf")}
	if err == nil || !slices.Equal(got, want) {
		t.Errorf("registrar with a broken setting: got %+v, %v, want its file and an error", got, err)
	}

	files.lookupEnv = func(name string) (string, bool) { return "9003", name == "KEYLIME_AGENT_PORT" }
	got, err = files.AgentFindings(t.Context())
	want = []finding.Finding{
		config("/usr/etc/keylime/agent.conf"),
		finding.Named("address", "192.0.2.2:9003", at("/usr/etc/keylime/agent.conf")),
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("agent: got %+v, %v, want %+v", got, err, want)
	}

	if got, err := NewFiles(t.TempDir(), nil).AgentFindings(t.Context()); got != nil || !errors.Is(err, ErrAbsent) {
		t.Errorf("no agent: got %+v, %v, want %v", got, err, ErrAbsent)
	}
}
