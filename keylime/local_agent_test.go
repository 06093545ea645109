package keylime

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"funlab.casa/attestation_exporter/failure"
	standin "funlab.casa/attestation_exporter/internal/tower/keylime"
)

func startAgent(t *testing.T, change func(*tls.Config)) *standin.LocalAgent {
	t.Helper()
	settings := &tls.Config{
		Certificates: []tls.Certificate{mint(t, "agent", nil).pair()},
		ClientAuth:   tls.RequireAnyClientCert,
		MinVersion:   tls.VersionTLS12,
	}
	if change != nil {
		change(settings)
	}
	agent, err := standin.StartAgent(t.Context(), standin.AgentOptions{Address: "127.0.0.1:0", TLS: settings})
	if err != nil {
		t.Fatal(err)
	}
	return agent
}

func TestLocalAgentUp(t *testing.T) {
	e := newEstate(t)
	soon := mint(t, "ends first", e.intermediate, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(time.Hour) })
	tests := []struct {
		name    string
		change  func(*tls.Config)
		subject string
	}{
		{"signed by itself, TLS 1.3", nil, "CN=agent"},
		{"signed by itself, TLS 1.2", func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, "CN=agent"},
		{"with a chain", func(c *tls.Config) { c.Certificates = []tls.Certificate{soon.pair()} }, "CN=ends first"},
		{"expired", func(c *tls.Config) { c.Certificates = []tls.Certificate{mint(t, "past", nil, expired).pair()} }, "CN=past"},
		{"wants no client certificate", func(c *tls.Config) { c.ClientAuth = tls.NoClientCert }, "CN=agent"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server := startAgent(t, tt.change)
			agent := LocalAgent{Address: server.Address, Settings: NewFiles(t.TempDir(), nil).Agent}
			got, err := agent.Read(t.Context())
			if err != nil || !got.Up || got.Certificate == nil || got.Certificate.Subject != tt.subject || got.Address != server.Address {
				t.Errorf("got %+v, %v, want up with the certificate of %s", got, err, tt.subject)
			}
		})
	}
}

func TestLocalAgentSilent(t *testing.T) {
	const uuid = "01234567-89ab-cdef-0123-456789abcdef"
	hanging := startAgent(t, nil)
	hanging.Break(standin.Silent)
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	gone := startAgent(t, nil)
	gone.Close()
	refusing := startAgent(t, func(c *tls.Config) { c.MaxVersion, c.MinVersion = tls.VersionTLS11, tls.VersionTLS10 })
	tests := []struct {
		name, address string
		want          failure.Reason
	}{
		{"too old for us", refusing.Address, failure.TLS},
		{"hangs", hanging.Address, failure.Timeout},
		{"gone", gone.Address, failure.Unreachable},
		{"no TLS", plain.Listener.Addr().String(), failure.TLS},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			agent := LocalAgent{Settings: agentConf(t, tt.address, "uuid = \""+uuid+"\"").Agent}
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			got, err := agent.Read(ctx)
			if err == nil || failure.Of(err) != tt.want || got.Up || got.Certificate != nil {
				t.Errorf("got %+v, %v, want a failure of reason %s", got, err, tt.want)
			}
			if got.ID != uuid || got.Address != tt.address {
				t.Errorf("got the id %q at %q, want %s at %s also while it is silent", got.ID, got.Address, uuid, tt.address)
			}
		})
	}
}

// agentConf lays an agent.conf for an address, with more lines.
func agentConf(t *testing.T, address string, lines ...string) *Files {
	t.Helper()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	text := append([]string{"[agent]", "ip = \"" + host + "\"", "port = " + port}, lines...)
	return lay(t, map[string]string{"etc/keylime/agent.conf": strings.Join(text, "\n")}, nil)
}

func TestLocalAgentWithoutTLS(t *testing.T) {
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	address := plain.Listener.Addr().String()
	agent := LocalAgent{Settings: agentConf(t, address, "enable_agent_mtls = false").Agent}
	if got, err := agent.Read(t.Context()); err != nil || !got.Up || got.Certificate != nil {
		t.Errorf("got %+v, %v, want up without a certificate", got, err)
	}
}

func TestLocalAgentPushMode(t *testing.T) {
	files := agentConf(t, "127.0.0.1:1", "uuid = \""+DefaultUUID+"\"")
	writeFile(t, filepath.Join(files.root, "etc/systemd/system/multi-user.target.wants/keylime_push_model_agent.service"), "")
	agent := LocalAgent{Settings: files.Agent}
	if got, err := agent.Read(t.Context()); err != nil || got.Address != "" || got.ID != DefaultUUID {
		t.Errorf("got %+v, %v, want the id alone", got, err)
	}
}

func TestLocalAgentID(t *testing.T) {
	ek := mint(t, "ek", nil).key.Public()
	fromEK, err := IDFromEK(ek)
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	readEK := func(context.Context) (crypto.PublicKey, error) { return ek, nil }
	spiffe := func(context.Context) (string, error) { return "spiffe://a/spire/agent/keylime/from-spire", nil }
	tests := []struct {
		name, uuid string
		ek         func(context.Context) (crypto.PublicKey, error)
		spiffe     func(context.Context) (string, error)
		want       string
		err        error
	}{
		{"a UUID", DefaultUUID, readEK, spiffe, DefaultUUID, nil},
		{"from the EK", "hash_ek", readEK, spiffe, fromEK, nil},
		{"from the EK that can't be read", "hash_ek", func(context.Context) (crypto.PublicKey, error) { return nil, broken }, spiffe, "", broken},
		{"from an EK that nobody reads", "hash_ek", nil, spiffe, "from-spire", nil},
		{"invented", "generate", readEK, spiffe, "from-spire", nil},
		{"no UUID", "my-host", readEK, spiffe, "from-spire", nil},
		{"unknown", "generate", readEK, nil, "", nil},
		{"unknown to SPIRE, too", "generate", nil, func(context.Context) (string, error) { return "", broken }, "", broken},
		{"not attested by Keylime", "generate", nil, func(context.Context) (string, error) { return "spiffe://a/spire/agent/tpm/x", nil }, "", nil},
	}
	server := startAgent(t, nil)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			agent := LocalAgent{Settings: agentConf(t, server.Address, "uuid = \""+tt.uuid+"\"").Agent, EK: tt.ek, SPIFFEID: tt.spiffe}
			got, err := agent.Read(t.Context())
			if got.ID != tt.want || !errors.Is(err, tt.err) || !got.Up {
				t.Errorf("got %q, up %t, %v, want %q, up, %v", got.ID, got.Up, err, tt.want, tt.err)
			}
		})
	}
}

// An agent is up, whatever keeps its id back.
func TestLocalAgentWhoseIDHangs(t *testing.T) {
	server := startAgent(t, nil)
	hangs := func(ctx context.Context) (string, error) { <-ctx.Done(); return "", ctx.Err() }
	agent := LocalAgent{Settings: agentConf(t, server.Address, "uuid = \"generate\"").Agent, SPIFFEID: hangs}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	got, err := agent.Read(ctx)
	if !got.Up || got.ID != "" || failure.Of(err) != failure.Timeout {
		t.Errorf("got up %t, %q, %v, want up without an id, and a timeout", got.Up, got.ID, err)
	}
}

// TestIDFromEKIsOpenSSLs holds the id to the SHA-256 of what openssl prints of the
// same key, which is how the agent's own library writes it.
func TestIDFromEKIsOpenSSLs(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Fatalf("openssl is missing, run make tools: %v", err)
	}
	i := mint(t, "ek", nil)
	path := filepath.Join(t.TempDir(), "ek.key")
	writeFile(t, path, i.keyPEM(t))
	command := exec.CommandContext(t.Context(), openssl, "pkey", "-in", path, "-pubout")
	command.Stderr = os.Stderr
	public, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(public)
	got, err := IDFromEK(i.key.Public())
	if want := hex.EncodeToString(digest[:]); err != nil || got != want {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
}

func TestLocalAgentNotHere(t *testing.T) {
	agent := LocalAgent{Settings: NewFiles(t.TempDir(), nil).Agent}
	if got, err := agent.Read(t.Context()); !errors.Is(err, ErrAbsent) {
		t.Errorf("got %+v, %v, want ErrAbsent", got, err)
	}
}
