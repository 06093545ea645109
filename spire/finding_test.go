package spire

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"funlab.casa/attestation_exporter/finding"
)

func TestAgentFindings(t *testing.T) {
	dir := t.TempDir()
	none := filepath.Join(dir, "none")
	config := writeFile(dir, "agent.conf", `agent { data_dir = "./data" socket_path = "/configured.sock" admin_socket_path = "$ADMIN" trust_domain = "funlab.casa" join_token = "secret" }`)
	a := NewAgent(AgentOptions{User: "1234"})
	a.finder.standard = Place{Configs: []string{none, config}, DataDirs: []string{dir}, Sockets: []string{none}}
	want := []finding.Finding{
		finding.At("config", config, finding.Default),
		finding.At("data-dir", dir, finding.Default),
		finding.At("socket", "/configured.sock", config),
		finding.Named("user", "1234", finding.Flag),
		finding.Named("trust-domain", "funlab.casa", config),
	}
	got, err := a.Findings(t.Context())
	if !slices.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if err == nil || !strings.Contains(err.Error(), "admin_socket_path has an environment variable") || strings.Contains(err.Error(), "ADMIN") {
		t.Errorf("got error %v, want one of the admin socket without its text", err)
	}

	a.finder.owner = ""
	got, _ = a.Findings(t.Context())
	if owner := finding.Named("user", strconv.Itoa(os.Geteuid()), "data-dir"); !slices.Contains(got, owner) {
		t.Errorf("with no user named: got %+v, want %+v in it", got, owner)
	}
	a.finder.owner = "1234"

	a.options.AdminSocket = "/admin.sock"
	got, err = a.Findings(t.Context())
	if last := finding.At("admin-socket", "/admin.sock", finding.Flag); err != nil || !slices.Equal(got, append(want, last)) {
		t.Errorf("with the admin socket named: got %+v, %v, want %+v last", got, err, last)
	}
}

func TestFindingsOfNothing(t *testing.T) {
	none := []string{filepath.Join(t.TempDir(), "none")}
	nowhere := Place{Configs: none, DataDirs: none, Sockets: none}
	server := NewServer(ServerOptions{})
	server.finder.standard = nowhere
	if got, err := server.Findings(t.Context()); got != nil || !errors.Is(err, ErrAbsent) {
		t.Errorf("server: got %+v, %v, want %v", got, err, ErrAbsent)
	}
	plugins := &Plugins{places: []pluginPlace{{none, finding.Default}}}
	if got, err := plugins.Findings(t.Context()); got != nil || !errors.Is(err, ErrAbsent) {
		t.Errorf("plugins: got %+v, %v, want %v", got, err, ErrAbsent)
	}
}

// The endpoint that server.conf switches on is told with that file.
func TestEndpointFinding(t *testing.T) {
	config := writeFile(t.TempDir(), "server.conf", `server { trust_domain = "a.example" federation { bundle_endpoint { address = "0.0.0.0" port = 8443 profile "https_spiffe" {} } } }`)
	endpoint, err := NewServer(ServerOptions{Place: Place{Configs: []string{config}}}).Endpoint("")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := endpoint.Finding(), finding.Named("endpoint", "https://localhost:8443", config); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
