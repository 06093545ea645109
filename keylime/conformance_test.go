//go:build conformance

package keylime

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/config"

	"funlab.casa/attestation_exporter/internal/tower/child"
	standin "funlab.casa/attestation_exporter/internal/tower/keylime"
)

// TestConformance holds a real verifier, registrar and quoting agents to what
// TestBehaviour holds the stand-ins to. LAB_DIR names the folder with the labs.
func TestConformance(t *testing.T) {
	checkBehaviour(t, newLab(t))
}

// A lab is the real Keylime of LAB_DIR/keylime in a folder of its own.
type lab struct {
	t       *testing.T
	scripts string
	dir     string
	first   string
	env     []string
}

func newLab(t *testing.T) *lab {
	t.Helper()
	labs := os.Getenv("LAB_DIR")
	if labs == "" {
		t.Fatal("LAB_DIR doesn't name the folder with the labs: run make conformance")
	}
	// Not t.TempDir, whose name is too long for the sockets of the agents' TPMs.
	dir, err := os.MkdirTemp("", "keylime") //nolint:usetesting // See above.
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	l := &lab{t: t, scripts: filepath.Join(labs, "keylime"), dir: dir}
	l.env = append(os.Environ(),
		"KL_VERIFIER_PORT="+freePort(t),
		"KL_REGISTRAR_PORT="+freePort(t),
		"KL_REGISTRAR_TLS_PORT="+freePort(t),
		// Without the growing pauses an agent is given up after 5 s instead of 63, and
		// without notifications a failure shows at once.
		"KL_RETRY_INTERVAL=1", "KL_NOTIFIERS=[]",
	)
	t.Cleanup(func() { l.run("down", l.dir) })
	l.run("up", l.dir)
	return l
}

// run runs one of the lab's scripts and returns what it printed. The scripts leave
// servers behind that must not hold the pipe open, hence the file.
func (l *lab) run(script string, args ...string) string {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	out, err := os.CreateTemp(l.dir, "out")
	if err != nil {
		l.t.Fatal(err)
	}
	defer out.Close()
	command := exec.CommandContext(ctx, filepath.Join(l.scripts, script), args...)
	command.Env, command.Stdout, command.Stderr = l.env, out, out
	err = command.Run()
	text, readErr := os.ReadFile(out.Name())
	if err != nil || readErr != nil {
		l.t.Fatalf("%s %q: %v %v\n%s", script, args, err, readErr, text)
	}
	return strings.TrimSpace(string(text))
}

// setting is a line of the lab's env file.
func (l *lab) setting(name string) string {
	l.t.Helper()
	text, err := os.ReadFile(filepath.Join(l.dir, "env"))
	if err != nil {
		l.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if value, found := strings.CutPrefix(line, name+"="); found {
			return strings.TrimSpace(value)
		}
	}
	l.t.Fatalf("the lab has no setting %s", name)
	return ""
}

func (l *lab) verifierURL() string  { return l.setting("KEYLIME_VERIFIER_URL") }
func (l *lab) registrarURL() string { return l.setting("KEYLIME_REGISTRAR_URL") }

func (l *lab) localAgent() string {
	var agent struct {
		IP   string `json:"ip"`
		Port int    `json:"port"`
	}
	l.agentJSON(l.first, &agent)
	return net.JoinHostPort(agent.IP, strconv.Itoa(agent.Port))
}

func (l *lab) agentJSON(id string, into any) {
	l.t.Helper()
	text, err := os.ReadFile(filepath.Join(l.dir, "agents", id, "agent.json"))
	if err != nil {
		l.t.Fatal(err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		l.t.Fatal(err)
	}
}

func (l *lab) http(kind string) *config.HTTPClientConfig {
	l.t.Helper()
	tls := filepath.Join(l.dir, "tls")
	text := "tls_config:\n  ca_file: " + tls + "/ca-complete-chain.crt\n"
	names := map[string][2]string{
		"client":  {"client.crt", "client.key"},
		"other":   {"other-client.crt", "other-client.key"},
		"expired": {"client-expired.crt", "client.key"},
	}
	if files, ok := names[kind]; ok {
		text += fmt.Sprintf("  cert_file: %s/%s\n  key_file: %s/%s\n", tls, files[0], tls, files[1])
	}
	path := filepath.Join(l.t.TempDir(), "http.yml")
	writeFile(l.t, path, text)
	loaded, err := LoadHTTPConfig(path)
	if err != nil {
		l.t.Fatal(err)
	}
	return loaded
}

func (l *lab) add(conduct standin.Conduct) string {
	l.t.Helper()
	if conduct != standin.Attests {
		l.t.Fatalf("the lab can't add an agent that is %s", conduct)
	}
	lines := strings.Split(l.run("agent", l.dir, "--port", freePort(l.t)), "\n")
	id := lines[len(lines)-1]
	if l.first == "" {
		l.first = id
	}
	l.run("klctl", l.dir, "add", id, "--v")
	return id
}

func (l *lab) change(id string, conduct standin.Conduct) {
	l.t.Helper()
	switch conduct {
	case standin.BadQuote:
		l.run("klctl", l.dir, "tell", id, "extend", "4")
	case standin.Gone:
		l.run("down", l.dir, id)
	case standin.Stopped:
		l.run("klctl", l.dir, "stop", id)
	default:
		l.t.Fatalf("the lab can't make an agent %s", conduct)
	}
}

func (l *lab) remove(id string) { l.run("klctl", l.dir, "del", id) }

func (l *lab) restartVerifier() {
	l.run("down", l.dir, "verifier")
	l.env = append(l.env, "KL_ONLY=verifier")
	l.run("up", l.dir)
}

// registerOnly sends the first half of a registration: the other proves that the
// agent is on its TPM.
func (l *lab) registerOnly() string {
	l.t.Helper()
	const id = "99999999-9999-4999-8999-999999999999"
	var agent struct {
		AK   string `json:"ak_tpm"`
		EK   string `json:"ek_tpm"`
		Cert string `json:"mtls_cert"`
	}
	l.agentJSON(l.first, &agent)
	body, err := json.Marshal(map[string]any{
		"ek_tpm": agent.EK, "ekcert": nil, "aik_tpm": agent.AK, "mtls_cert": agent.Cert, "ip": "127.0.0.1", "port": 9002,
		"iak_tpm": nil, "iak_cert": nil, "idevid_tpm": nil, "idevid_cert": nil,
	})
	if err != nil {
		l.t.Fatal(err)
	}
	target := l.setting("KEYLIME_REGISTRAR_PLAIN_URL") + "/v2.6/agents/" + id
	request, err := http.NewRequestWithContext(l.t.Context(), http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		l.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		l.t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		l.t.Fatalf("register: got %s, want 200", response.Status)
	}
	return id
}

// freePort is a port that nothing listens on now.
func freePort(t *testing.T) string {
	t.Helper()
	address, err := child.FreeAddress(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(address)
	return port
}
