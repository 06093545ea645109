package spire

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	tower "funlab.casa/attestation_exporter/internal/tower/spire"
)

const keylimePath = "/spire/agent/keylime/d432fbb3-d2f1-4a97-9ef7-75bd81c00000"

func newDomain(t *testing.T) *tower.Domain {
	t.Helper()
	domain, err := tower.NewDomain("funlab.casa", 24*time.Hour, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return domain
}

func newServer(t *testing.T, domain *tower.Domain) *tower.Server {
	t.Helper()
	server, err := tower.NewServer(filepath.Join(t.TempDir(), "api.sock"), domain)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	return server
}

// newAgent starts an agent and returns it with its directory.
func newAgent(t *testing.T, domain *tower.Domain) (agent *tower.Agent, dir string) {
	t.Helper()
	dir = t.TempDir()
	agent, err := tower.NewAgent(dir, domain, keylimePath, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(agent.Close)
	return agent, dir
}

// me is the user of this test, who listens on all its sockets.
func me() string { return strconv.Itoa(os.Geteuid()) }

// agentOptions are those for the agent in dir, with nothing found by itself.
func agentOptions(dir string) AgentOptions {
	return AgentOptions{
		Place: Place{
			Configs:  []string{writeFile(dir, "agent.conf", "agent { trust_domain = \"funlab.casa\" }\n")},
			DataDirs: []string{dir},
			Sockets:  []string{filepath.Join(dir, "agent.sock")},
		},
		AdminSocket: filepath.Join(dir, "admin", "api.sock"),
		User:        me(),
	}
}

// serverOptions are those for the server at that socket.
func serverOptions(socket string) ServerOptions {
	dir := filepath.Dir(socket)
	return ServerOptions{
		Place: Place{
			Configs:  []string{writeFile(dir, "server.conf", "server { trust_domain = \"funlab.casa\" agent_ttl = \"90m\" }\n")},
			DataDirs: []string{dir},
			Sockets:  []string{socket},
		},
		User: me(),
	}
}

// writeFile writes a file of a test's own directory and returns its path.
func writeFile(dir, name, text string) string {
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		panic(err)
	}
	return path
}

// bundleDocument is a SPIFFE bundle of one X.509 authority and one JWT key (SPIFFE
// Trust Domain and Bundle, section 4).
func bundleDocument(authority []byte) string {
	return `{"keys": [
		{"use": "x509-svid", "kty": "EC", "crv": "P-256", "x": "", "y": "", "x5c": ["` + base64.StdEncoding.EncodeToString(authority) + `"]},
		{"use": "jwt-svid", "kty": "EC", "kid": "a", "crv": "P-256", "x": "", "y": ""}
	], "spiffe_sequence": 1}`
}
