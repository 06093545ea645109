//go:build conformance

package spire

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestConformance holds a real SPIRE server and agent to what TestBehaviour holds
// the stand-ins to. LAB_DIR names the folder with the labs.
func TestConformance(t *testing.T) {
	checkBehaviour(t, newLab(t))
}

// TestConformanceEndpoint finds a real bundle endpoint and asks it.
func TestConformanceEndpoint(t *testing.T) {
	l := newLab(t)
	endpoint, err := NewServer(l.server()).Endpoint(writeFile(l.dir, "anchors.pem", string(l.bundle())))
	if err != nil {
		t.Fatal(err)
	}
	live, err := endpoint.Live(t.Context())
	if err != nil || len(live) != 1 || len(live[0].Authorities) != 1 {
		t.Errorf("got %+v, %v, want a bundle of one", live, err)
	}
}

// TestConformancePlugins compares the lab's real plugins, then rebuilds one.
func TestConformancePlugins(t *testing.T) {
	l := newLab(t)
	plugins := NewPlugins(PluginOptions{
		AgentConfigs:  []string{filepath.Join(l.dir, "agent/agent.conf")},
		ServerConfigs: []string{filepath.Join(l.dir, "server/server.conf")},
	})
	pins, err := plugins.Read(t.Context())
	if err != nil || len(pins) != 2 || !*pins[0].Matches || !*pins[1].Matches {
		t.Fatalf("got %+v, %v, want two plugins that match", pins, err)
	}
	text, err := os.ReadFile(pins[1].Path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(pins[1].Path+".new", append(text, 0), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(pins[1].Path+".new", pins[1].Path); err != nil {
		t.Fatal(err)
	}
	pins, err = plugins.Read(t.Context())
	if err != nil || !*pins[0].Matches || *pins[1].Matches {
		t.Errorf("got %+v, %v, want the second not to match", pins, err)
	}
}

// A lab is the real SPIRE of LAB_DIR/spire in a folder of its own.
type lab struct {
	t       *testing.T
	scripts string
	dir     string
	env     map[string]string
}

func newLab(t *testing.T) *lab {
	t.Helper()
	labs := os.Getenv("LAB_DIR")
	if labs == "" {
		t.Fatal("LAB_DIR doesn't name the folder with the labs: run make conformance")
	}
	// Not t.TempDir, whose name is too long for the sockets.
	dir, err := os.MkdirTemp("", "spire")
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{t: t, scripts: filepath.Join(labs, "spire"), dir: dir, env: map[string]string{}}
	t.Setenv("AGENT_TTL", behaviourTTL.String())
	t.Cleanup(func() {
		if out, err := exec.Command(filepath.Join(l.scripts, "down"), "-p", dir).CombinedOutput(); err != nil {
			t.Logf("down: %v: %s", err, out)
		}
		_ = os.RemoveAll(dir)
	})
	out := bufio.NewScanner(bytes.NewReader(l.run(filepath.Join(l.scripts, "up"), dir)))
	for out.Scan() {
		if name, value, ok := strings.Cut(out.Text(), "="); ok {
			l.env[name] = value
		}
	}
	return l
}

func (l *lab) run(name string, arguments ...string) []byte {
	l.t.Helper()
	var errors bytes.Buffer
	command := exec.CommandContext(l.t.Context(), name, arguments...)
	command.Stderr = &errors
	out, err := command.Output()
	if err != nil {
		l.t.Fatalf("%s %q: %v: %s", name, arguments, err, &errors)
	}
	return out
}

// cli runs spire-server's own client.
func (l *lab) cli(command string, arguments ...string) []byte {
	l.t.Helper()
	all := append(strings.Fields(command), "-socketPath", l.env["SPIRE_SERVER_SOCKET"])
	return l.run(filepath.Join(l.env["SPIRE_BIN"], "spire-server"), append(all, arguments...)...)
}

func (l *lab) server() ServerOptions {
	return ServerOptions{Place: Place{Configs: []string{filepath.Join(l.dir, "server/server.conf")}}, User: me()}
}

func (l *lab) agent() AgentOptions {
	return AgentOptions{Place: Place{Configs: []string{filepath.Join(l.dir, "agent/agent.conf")}}, User: me(), WorkloadAPI: true}
}

func (l *lab) now() time.Time            { return time.Now() }
func (l *lab) pass(d time.Duration)      { time.Sleep(d) }
func (l *lab) bundle() []byte            { return l.cli("bundle show") }
func (l *lab) attest(uuid string) string { return l.attestAs(uuid) }
func (l *lab) attestByToken() string     { return l.attestAs("join_token") }

func (l *lab) attestAs(what string) string {
	l.t.Helper()
	return strings.TrimSpace(string(l.run(filepath.Join(l.scripts, "attest"), l.dir, what)))
}

func (l *lab) ban(id string) { l.cli("agent ban", "-spiffeID", id) }

func (l *lab) agents() []ServerAgent {
	l.t.Helper()
	var listing struct {
		Agents []struct {
			ID struct {
				TrustDomain string `json:"trust_domain"`
				Path        string `json:"path"`
			} `json:"id"`
			AttestationType string `json:"attestation_type"`
			ExpiresAt       string `json:"x509svid_expires_at"`
			Banned          bool   `json:"banned"`
			CanReattest     bool   `json:"can_reattest"`
		} `json:"agents"`
	}
	l.unmarshal(l.cli("agent list", "-output", "json"), &listing)
	var agents []ServerAgent
	for _, row := range listing.Agents {
		identity, err := parseIdentity("spiffe://" + row.ID.TrustDomain + row.ID.Path)
		if err != nil {
			l.t.Fatal(err)
		}
		identity.AttestationType = row.AttestationType
		seconds, err := strconv.ParseInt(row.ExpiresAt, 10, 64)
		if err != nil {
			l.t.Fatal(err)
		}
		agents = append(agents, ServerAgent{Identity: identity, NotAfter: unixTime(seconds), Banned: row.Banned, CanReattest: row.CanReattest})
	}
	return agents
}

func (l *lab) unmarshal(text []byte, into any) {
	l.t.Helper()
	if err := json.Unmarshal(text, into); err != nil {
		l.t.Fatalf("%v: %s", err, text)
	}
}

// authority returns the id of the X.509 authority in that state.
func (l *lab) authority(state string) string {
	l.t.Helper()
	var shown map[string]struct {
		ID string `json:"authority_id"`
	}
	l.unmarshal(l.cli("localauthority x509 show", "-output", "json"), &shown)
	return shown[state].ID
}

func (l *lab) prepare() { l.cli("localauthority x509 prepare") }
func (l *lab) activate() {
	l.cli("localauthority x509 activate", "-authorityID", l.authority("prepared"))
}
func (l *lab) taintOld()  { l.cli("localauthority x509 taint", "-authorityID", l.authority("old")) }
func (l *lab) revokeOld() { l.cli("localauthority x509 revoke", "-authorityID", l.authority("old")) }

func (l *lab) hangServer(hung bool) {
	if hung {
		l.signal(syscall.SIGSTOP)
	} else {
		l.signal(syscall.SIGCONT)
	}
}

func (l *lab) stopServer() { l.signal(syscall.SIGTERM) }

func (l *lab) signal(signal syscall.Signal) {
	l.t.Helper()
	pid, err := strconv.Atoi(l.env["SPIRE_SERVER_PID"])
	if err != nil {
		l.t.Fatal(err)
	}
	if err := syscall.Kill(pid, signal); err != nil {
		l.t.Fatal(err)
	}
}
