package spire

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/proto/spiffe/workload"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"funlab.casa/attestation_exporter/failure"
	tower "funlab.casa/attestation_exporter/internal/tower/spire"
	agentapi "funlab.casa/attestation_exporter/spire/proto/agent"
)

func TestAgentRead(t *testing.T) {
	agent, dir := newAgent(t, newDomain(t))
	lost := time.Now().Add(-10 * time.Minute).Truncate(time.Second)
	agent.LoseServer(lost)
	reading, err := NewAgent(agentOptions(dir)).Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := Identity{
		ID: "spiffe://funlab.casa" + keylimePath, TrustDomain: "funlab.casa",
		AttestationType: "keylime", KeylimeAgent: "d432fbb3-d2f1-4a97-9ef7-75bd81c00000",
	}
	if !reading.Up || reading.Identity == nil || *reading.Identity != want {
		t.Errorf("got up %v, identity %+v, want up and %+v", reading.Up, reading.Identity, want)
	}
	if reading.SVID == nil || !reading.SVID.NotAfter.Equal(agent.NotAfter()) || reading.SVID.NotBefore.IsZero() {
		t.Errorf("got SVID %+v, want one until %s with its start", reading.SVID, agent.NotAfter())
	}
	if !reading.SyncVisible || !reading.LastSync.Equal(lost) {
		t.Errorf("got last sync %s (visible %v), want %s", reading.LastSync, reading.SyncVisible, lost)
	}
	if got := agent.Workload.Calls(workload.SpiffeWorkloadAPI_FetchX509Bundles_FullMethodName); got != 0 || reading.WorkloadAPI != 0 {
		t.Errorf("got %d calls of the Workload API that weren't asked for", got)
	}
}

// Where agent-data.json is closed, the debug API's summary of the certificate is
// what there is.
func TestAgentReadWithoutData(t *testing.T) {
	agent, dir := newAgent(t, newDomain(t))
	options := agentOptions(dir)
	options.Place.DataDirs = []string{t.TempDir()}
	reading, err := NewAgent(options).Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if reading.Identity == nil || reading.Identity.KeylimeAgent != "d432fbb3-d2f1-4a97-9ef7-75bd81c00000" {
		t.Errorf("got identity %+v, want Keylime's", reading.Identity)
	}
	if reading.SVID == nil || !reading.SVID.NotAfter.Equal(agent.NotAfter()) || !reading.SVID.NotBefore.IsZero() || reading.SVID.FirstSeen.IsZero() {
		t.Errorf("got SVID %+v, want one until %s that was seen, without a start", reading.SVID, agent.NotAfter())
	}
}

// A debug API that is configured and can't be found from here is told, unless the
// user says where it is.
func TestAgentAdminSocketFromConfiguration(t *testing.T) {
	_, dir := newAgent(t, newDomain(t))
	given := agentOptions(dir)
	for _, tt := range []struct {
		name, path string
		wantErr    string // empty: it is asked
	}{
		{"absolute", given.AdminSocket, ""},
		{"relative", "admin/api.sock", "admin_socket_path isn't absolute"},
		{"variable", "$DIR/api.sock", "admin_socket_path has an environment variable in it"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			options := given
			options.AdminSocket = ""
			options.Place.Configs = []string{writeFile(t.TempDir(), "agent.conf", "agent { admin_socket_path = \""+tt.path+"\" }")}
			reading, err := NewAgent(options).Read(t.Context())
			if reading.SyncVisible != (tt.wantErr == "") || (err == nil) != (tt.wantErr == "") || err != nil && !strings.Contains(err.Error(), tt.wantErr) {
				t.Errorf("got sync visible %t, %v, want %q", reading.SyncVisible, err, tt.wantErr)
			}
		})
	}
}

func TestAgentReadFaults(t *testing.T) {
	debug := agentapi.Debug_GetInfo_FullMethodName
	tests := []struct {
		name        string
		fault       func(t *testing.T, agent *tower.Agent, dir string)
		want        failure.Reason // empty: no error
		wantUp      bool
		wantSVID    bool
		wantVisible bool
	}{
		{"healthy", func(*testing.T, *tower.Agent, string) {}, "", true, true, true},
		{"agent gone", func(_ *testing.T, agent *tower.Agent, _ string) { agent.Close() }, failure.Unreachable, false, true, false},
		{"agent hung", func(_ *testing.T, agent *tower.Agent, _ string) {
			agent.Workload.Set(grpc_health_v1.Health_Check_FullMethodName, tower.Answer{Hang: true})
		}, failure.Timeout, false, true, false},
		{"its own SVID expired", func(t *testing.T, agent *tower.Agent, _ string) {
			if err := agent.Renew(-time.Second); err != nil {
				t.Fatal(err)
			}
		}, failure.Malformed, true, true, false},
		{"debug API hung", func(_ *testing.T, agent *tower.Agent, _ string) {
			agent.Admin.Set(debug, tower.Answer{Hang: true})
		}, failure.Timeout, true, true, false},
		{"debug API unknown", func(_ *testing.T, agent *tower.Agent, _ string) {
			agent.Admin.Set(debug, tower.Answer{Err: status.Error(codes.Unimplemented, "unknown service")})
		}, failure.Malformed, true, true, false},
		{"never synchronised", func(_ *testing.T, agent *tower.Agent, _ string) {
			agent.Admin.Set(debug, tower.Answer{Message: &agentapi.GetInfoResponse{}})
		}, "", true, true, true},
		{"data half written", func(t *testing.T, _ *tower.Agent, dir string) { writeFile(dir, agentDataFile, `{"svid": [`) }, failure.Malformed, true, true, true},
		{"data of a banned agent", func(t *testing.T, _ *tower.Agent, dir string) {
			writeFile(dir, agentDataFile, string(readRecording(t, "agent_data_dir/agent-data.json.banned_no_svid")))
		}, "", true, true, true},
		{"data is a directory", func(t *testing.T, _ *tower.Agent, dir string) {
			if err := os.Remove(filepath.Join(dir, agentDataFile)); err != nil {
				t.Fatal(err)
			}
			if err := os.Mkdir(filepath.Join(dir, agentDataFile), 0o700); err != nil {
				t.Fatal(err)
			}
		}, failure.Malformed, true, true, true},
		{"configuration broken", func(_ *testing.T, _ *tower.Agent, dir string) { writeFile(dir, "agent.conf", "agent {") }, failure.Malformed, true, true, true},
		{"configuration gone", func(t *testing.T, _ *tower.Agent, dir string) {
			if err := os.Remove(filepath.Join(dir, "agent.conf")); err != nil {
				t.Fatal(err)
			}
		}, failure.Unreachable, true, true, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			agent, dir := newAgent(t, newDomain(t))
			options := agentOptions(dir)
			tt.fault(t, agent, dir)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			reading, err := NewAgent(options).Read(ctx)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || failure.Of(err) != tt.want) {
				t.Errorf("got %v, want reason %q", err, tt.want)
			}
			if reading.Up != tt.wantUp || (reading.SVID != nil) != tt.wantSVID || reading.SyncVisible != tt.wantVisible {
				t.Errorf("got up %v, SVID %v, visible %v, want %v, %v, %v", reading.Up, reading.SVID, reading.SyncVisible, tt.wantUp, tt.wantSVID, tt.wantVisible)
			}
		})
	}
}

// The recorded answers of a real agent whose server is away.
func TestAgentReadRecorded(t *testing.T) {
	tests := []struct {
		name, info    string
		wantLastSync  string
		wantNotAfter  string
		wantMalformed bool
	}{
		{"in step", "fresh/agent_debug_get_info", "2026-11-23T18:34:48Z", "2026-11-23T19:29:53Z", false},
		{"not synchronising", "server_down/agent_debug_get_info_not_syncing", "2026-11-23T18:41:27Z", "2026-11-23T18:42:21Z", false},
		{"expired", "server_down/agent_debug_get_info_svid_expired", "", "", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			agent, dir := newAgent(t, newDomain(t))
			if _, err := agent.Admin.Replay(filepath.Join(recordings, filepath.Dir(tt.info)), filepath.Base(tt.info)); err != nil {
				t.Fatal(err)
			}
			options := agentOptions(dir)
			options.Place.DataDirs = []string{t.TempDir()}
			reading, err := NewAgent(options).Read(t.Context())
			if got := err != nil && failure.Of(err) == failure.Malformed; got != tt.wantMalformed {
				t.Errorf("got %v, want malformed %v", err, tt.wantMalformed)
			}
			if got := rfc3339(reading.LastSync); got != tt.wantLastSync {
				t.Errorf("got last sync %s, want %s", got, tt.wantLastSync)
			}
			notAfter := ""
			if reading.SVID != nil {
				notAfter = rfc3339(reading.SVID.NotAfter)
			}
			if notAfter != tt.wantNotAfter {
				t.Errorf("got an SVID until %q, want %q", notAfter, tt.wantNotAfter)
			}
		})
	}
}

func rfc3339(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

func TestAgentAbsent(t *testing.T) {
	agent := &Agent{finder: finder{standard: Place{
		Configs: []string{"/nonexistent/agent.conf"}, DataDirs: []string{"/nonexistent/data"}, Sockets: []string{"/nonexistent/agent.sock"},
	}}}
	if _, err := agent.Read(t.Context()); !errors.Is(err, ErrAbsent) {
		t.Errorf("got %v, want %v", err, ErrAbsent)
	}
}

// What was only found and is closed to this process costs its series and nothing
// else; what the user named must be open.
func TestAgentWithoutRights(t *testing.T) {
	dir := openDir(t)
	agent, err := tower.NewAgent(dir, newDomain(t), keylimePath, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	defer agent.Close()
	if err := os.Chmod(agent.Workload.Path, 0o777); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(dir, agentDataFile), agent.Admin.Path} {
		if err := os.Chmod(path, 0); err != nil {
			t.Fatal(err)
		}
	}
	config := writeFile(dir, "agent.conf", `agent { data_dir = "`+dir+`" admin_socket_path = "`+agent.Admin.Path+`" }`)
	if err := os.Chmod(config, 0o644); err != nil {
		t.Fatal(err)
	}
	found := AgentOptions{Place: Place{Configs: []string{config}, Sockets: []string{agent.Workload.Path}}, User: me()}
	named := found
	named.AdminSocket = agent.Admin.Path
	named.Place.DataDirs = []string{dir}
	asStranger(t, func() {
		reading, err := NewAgent(found).Read(t.Context())
		if err != nil || !reading.Up || reading.SyncVisible || reading.SVID != nil {
			t.Errorf("found: got %+v, %v, want an agent that is up and nothing more", reading, err)
		}
		reading, err = NewAgent(named).Read(t.Context())
		if !errors.Is(err, fs.ErrPermission) || !reading.Up {
			t.Errorf("named: got %+v, %v, want a permission error and an agent that is up", reading, err)
		}
	})
}
