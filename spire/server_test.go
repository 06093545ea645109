package spire

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"funlab.casa/attestation_exporter/failure"
	tower "funlab.casa/attestation_exporter/internal/tower/spire"
	serverapi "funlab.casa/attestation_exporter/spire/proto/server"
)

// serverCalls are the recordings of what a Server asks.
func serverCalls() []string {
	return []string{
		"health_check_server", "list_agents_full", "count_entries", "get_bundle",
		"x509_authority_state", "jwt_authority_state", "server_debug_get_info",
	}
}

// readRecorded reads a server that answers as recorded in that folder, at the
// moment of the recording.
func readRecorded(t *testing.T, folder string) (ServerReading, error) {
	t.Helper()
	stand := newServer(t, newDomain(t))
	at, err := stand.Replay(filepath.Join(recordings, folder), serverCalls()...)
	if err != nil {
		t.Fatal(err)
	}
	server := NewServer(serverOptions(stand.Path))
	server.now = func() time.Time { return at }
	return server.Read(t.Context())
}

func TestServerReadRecorded(t *testing.T) {
	reading, err := readRecorded(t, "agents_mixed")
	if err != nil {
		t.Fatal(err)
	}
	if !reading.Up || reading.TrustDomain != "funlab.casa" || reading.AgentLifetime != 90*time.Minute || reading.AuthorityLifetime != 24*time.Hour {
		t.Errorf("got up %v, %q, lifetimes %s and %s", reading.Up, reading.TrustDomain, reading.AgentLifetime, reading.AuthorityLifetime)
	}
	wantCounts := []AgentCount{{"join_token", 0, 1}, {"keylime", 1, 1}}
	if !reflect.DeepEqual(reading.Counts, wantCounts) {
		t.Errorf("got counts %+v, want %+v", reading.Counts, wantCounts)
	}
	if reading.Entries == nil || *reading.Entries != 3 {
		t.Errorf("got entries %v, want 3", reading.Entries)
	}
	if reading.SVIDID != "spiffe://funlab.casa/spire/server" || reading.SVID == nil || reading.SVID.NotAfter.IsZero() || reading.SVID.FirstSeen.IsZero() {
		t.Errorf("got SVID %q %+v, want the server's, and when it was seen", reading.SVIDID, reading.SVID)
	}
	var got []string
	for _, a := range reading.Agents {
		got = append(got, fmt.Sprintf("%s %s %s banned=%v reattest=%v", a.AttestationType, a.KeylimeAgent, rfc3339(a.NotAfter), a.Banned, a.CanReattest))
	}
	want := []string{
		"keylime d432fbb3-d2f1-4a97-9ef7-75bd81c00000 2026-11-23T18:35:25Z banned=false reattest=true",
		"keylime 11111111-1111-4111-8111-111111111111 2026-11-23T18:34:15Z banned=false reattest=true",
		"join_token  2026-11-23T18:34:15Z banned=false reattest=false",
		"keylime 22222222-2222-4222-8222-222222222222 2026-11-23T18:34:15Z banned=true reattest=true",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got agents\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// The privileged reader sends readings as JSON.
func TestReadingsAsJSON(t *testing.T) {
	server, err := readRecorded(t, "fresh")
	if err != nil {
		t.Fatal(err)
	}
	_, dir := newAgent(t, newDomain(t))
	agent, err := NewAgent(agentOptions(dir)).Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	checkJSON(t, server)
	checkJSON(t, agent)
}

func checkJSON[T any](t *testing.T, reading T) {
	t.Helper()
	text, err := json.Marshal(reading)
	if err != nil {
		t.Fatal(err)
	}
	var got T
	if err := json.Unmarshal(text, &got); err != nil || !reflect.DeepEqual(got, reading) {
		t.Errorf("got\n%+v, %v\nwant\n%+v", got, err, reading)
	}
}

func TestServerAuthoritiesRecorded(t *testing.T) {
	tests := []struct {
		folder      string
		wantX509    string // states, in their order
		wantJWT     string
		wantBundle  int
		wantTainted int
		wantJWTBad  int
	}{
		{"fresh", "active", "active", 1, 0, 0},
		{"rotation/1_old_valid_active", "active old", "active old", 2, 0, 0},
		{"rotation/2_expired_active_prepared", "active prepared", "active prepared", 3, 0, 0},
		{"rotation/3_two_expired_active_prepared", "active prepared", "active prepared", 4, 0, 0},
		{"taint/1_prepared", "active prepared", "active prepared", 2, 0, 0},
		{"taint/2_old_tainted", "active old", "active old", 2, 1, 1},
		{"taint/3_old_revoked", "active old", "active old", 1, 0, 0},
		{"upstream_authority", "active", "active", 1, 0, 0},
	}
	for _, tt := range tests {
		t.Run(tt.folder, func(t *testing.T) {
			reading, err := readRecorded(t, tt.folder)
			if err != nil {
				t.Fatal(err)
			}
			states := map[string][]string{}
			for _, a := range reading.Authorities {
				states[a.Type] = append(states[a.Type], a.State)
			}
			if got := strings.Join(states["x509"], " "); got != tt.wantX509 {
				t.Errorf("got X.509 states %q, want %q", got, tt.wantX509)
			}
			if got := strings.Join(states["jwt"], " "); got != tt.wantJWT {
				t.Errorf("got JWT states %q, want %q", got, tt.wantJWT)
			}
			tainted := 0
			for _, a := range reading.Bundle.Authorities {
				if a.Tainted {
					tainted++
				}
			}
			if len(reading.Bundle.Authorities) != tt.wantBundle || tainted != tt.wantTainted || reading.TaintedJWT != tt.wantJWTBad {
				t.Errorf("got a bundle of %d, tainted %d and %d, want %d, %d and %d", len(reading.Bundle.Authorities), tainted, reading.TaintedJWT, tt.wantBundle, tt.wantTainted, tt.wantJWTBad)
			}
		})
	}
}

func TestServerPages(t *testing.T) {
	stand := newServer(t, newDomain(t))
	end := time.Now().Add(time.Hour)
	for i := range 2*pageSize + 1 {
		stand.SetAgent(fmt.Sprintf("/spire/agent/keylime/%d", i), "keylime", end, true)
	}
	stand.SetAgent("/spire/agent/join_token/long-gone", "join_token", time.Now().Add(-8*24*time.Hour), false)
	reading, err := NewServer(serverOptions(stand.Path)).Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got, want := len(reading.Agents), 2*pageSize+1; got != want {
		t.Errorf("got %d agents, want %d: all but the one that ended 8 days ago", got, want)
	}
	want := []AgentCount{{"join_token", 0, 1}, {"keylime", 2*pageSize + 1, 0}}
	if !reflect.DeepEqual(reading.Counts, want) {
		t.Errorf("got counts %+v, want %+v", reading.Counts, want)
	}
	if got := stand.Calls(serverapi.Agent_ListAgents_FullMethodName); got != 4 {
		t.Errorf("got %d calls, want 4: three pages and the empty one behind them", got)
	}
}

// agent_path_template may give any path to an agent, so its type is the server's
// word.
func TestServerAgentType(t *testing.T) {
	stand := newServer(t, newDomain(t))
	stand.SetAgent("/spire/agent/tpm/host-1", "keylime", time.Now().Add(time.Hour), true)
	reading, err := NewServer(serverOptions(stand.Path)).Read(t.Context())
	if err != nil || len(reading.Agents) != 1 || reading.Agents[0].AttestationType != "keylime" || reading.Agents[0].KeylimeAgent != "" {
		t.Errorf("got %+v, %v, want one agent of type keylime without Keylime's id", reading.Agents, err)
	}
}

// A listing that leads back to itself ends where that shows.
func TestServerPageLoop(t *testing.T) {
	stand := newServer(t, newDomain(t))
	stand.Set(serverapi.Agent_ListAgents_FullMethodName, tower.Answer{Message: &serverapi.ListAgentsResponse{NextPageToken: "7"}})
	if _, err := NewServer(serverOptions(stand.Path)).Read(t.Context()); err == nil || failure.Of(err) != failure.Malformed {
		t.Errorf("got %v, want a malformed error", err)
	}
	if got := stand.Calls(serverapi.Agent_ListAgents_FullMethodName); got != 2 {
		t.Errorf("got %d calls, want 2", got)
	}
}

// Past the limit there is an error that names it, and no part of the listing.
func TestServerTooManyAgents(t *testing.T) {
	stand := newServer(t, newDomain(t))
	for i := range maxAgents + 1 {
		stand.SetAgent(fmt.Sprintf("/spire/agent/join_token/%d", i), "join_token", time.Now().Add(time.Hour), false)
	}
	reading, err := NewServer(serverOptions(stand.Path)).Read(t.Context())
	if err == nil || failure.Of(err) != failure.Malformed || !strings.Contains(err.Error(), "list agents: more than 100000 agents") {
		t.Errorf("got %v, want a malformed error that names the limit", err)
	}
	if len(reading.Agents) != 0 || !reading.Up {
		t.Errorf("got %d agents, up %v, want none, true", len(reading.Agents), reading.Up)
	}
}

func TestServerFaults(t *testing.T) {
	list := serverapi.Agent_ListAgents_FullMethodName
	odd := func(ids ...*serverapi.SPIFFEID) *serverapi.ListAgentsResponse {
		answer := &serverapi.ListAgentsResponse{}
		for _, id := range ids {
			answer.Agents = append(answer.Agents, &serverapi.Agent{Id: id, AttestationType: "keylime", X509SvidExpiresAt: time.Now().Unix() + 60})
		}
		return answer
	}
	good := &serverapi.SPIFFEID{TrustDomain: "funlab.casa", Path: "/spire/agent/keylime/a"}
	tests := []struct {
		name       string
		fault      func(stand *tower.Server)
		want       failure.Reason
		wantUp     bool
		wantAgents int
		wantRest   bool // entries, authorities and bundle were read
	}{
		{"healthy", func(*tower.Server) {}, "", true, 1, true},
		{"stopped", func(s *tower.Server) { s.Close() }, failure.Unreachable, false, 0, false},
		{"hung", func(s *tower.Server) {
			s.Set(grpc_health_v1.Health_Check_FullMethodName, tower.Answer{Hang: true})
		}, failure.Timeout, false, 0, false},
		{"listing refused", func(s *tower.Server) {
			s.Set(list, tower.Answer{Err: status.Error(codes.PermissionDenied, "no")})
		}, failure.Auth, true, 0, true},
		{"datastore gone", func(s *tower.Server) {
			s.Set(list, tower.Answer{Err: status.Error(codes.Internal, "failed to list agents")})
		}, failure.Malformed, true, 0, true},
		{"odd ids beside a good one", func(s *tower.Server) {
			s.Set(list, tower.Answer{Message: odd(
				&serverapi.SPIFFEID{TrustDomain: "funlab.casa", Path: "/../agent"},
				&serverapi.SPIFFEID{TrustDomain: "funlab.casa", Path: "/" + strings.Repeat("a", 3000)},
				nil, good, good)})
		}, failure.Malformed, true, 1, true},
		{"no agents", func(s *tower.Server) {
			s.Set(list, tower.Answer{Message: odd()})
		}, "", true, 0, true},
		{"a bad authority beside a good one", func(s *tower.Server) {
			s.Set(serverapi.Bundle_GetBundle_FullMethodName, tower.Answer{Message: &serverapi.Bundle{
				TrustDomain: "funlab.casa", X509Authorities: []*serverapi.X509Certificate{{Asn1: []byte("no DER")}, {}},
			}})
		}, failure.Malformed, true, 1, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			stand := newServer(t, newDomain(t))
			stand.SetAgent(keylimePath, "keylime", time.Now().Add(time.Hour), true)
			stand.SetEntries(3)
			tt.fault(stand)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			reading, err := NewServer(serverOptions(stand.Path)).Read(ctx)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || failure.Of(err) != tt.want) {
				t.Errorf("got %v, want reason %q", err, tt.want)
			}
			rest := reading.Entries != nil && len(reading.Authorities) == 2 && reading.Bundle.TrustDomain != ""
			if reading.Up != tt.wantUp || len(reading.Agents) != tt.wantAgents || rest != tt.wantRest {
				t.Errorf("got up %v, %d agents, rest %v, want %v, %d, %v", reading.Up, len(reading.Agents), rest, tt.wantUp, tt.wantAgents, tt.wantRest)
			}
			if reading.TrustDomain != "funlab.casa" {
				t.Errorf("got trust domain %q of a server in that state, want funlab.casa from its configuration", reading.TrustDomain)
			}
		})
	}
}

// One call that hangs ends the reading by its own time, and what came before it
// stands.
func TestServerCallHangs(t *testing.T) {
	stand := newServer(t, newDomain(t))
	stand.Set(serverapi.LocalAuthority_GetX509AuthorityState_FullMethodName, tower.Answer{Hang: true})
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	reading, err := NewServer(serverOptions(stand.Path)).readBulk(ctx)
	if err == nil || failure.Of(err) != failure.Timeout || len(reading.Bundle.Authorities) != 1 {
		t.Errorf("got %+v, %v, want the bundle and a timeout", reading, err)
	}
	if got := stand.Calls(serverapi.Agent_ListAgents_FullMethodName); got != 0 {
		t.Errorf("got %d more calls of a server that hangs, want none", got)
	}
}

func TestServerAbsent(t *testing.T) {
	server := NewServer(ServerOptions{})
	server.finder.standard = Place{
		Configs: []string{"/nonexistent/server.conf"}, DataDirs: []string{"/nonexistent/data"}, Sockets: []string{"/nonexistent/api.sock"},
	}
	if _, err := server.Read(t.Context()); !errors.Is(err, ErrAbsent) {
		t.Errorf("got %v, want %v", err, ErrAbsent)
	}
}

// BenchmarkServer has both sides in one process: most of it is the stand-in.
func BenchmarkServer(b *testing.B) {
	for _, n := range []int{1000, 10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			domain, err := tower.NewDomain("funlab.casa", 24*time.Hour, time.Now)
			if err != nil {
				b.Fatal(err)
			}
			stand, err := tower.NewServer(filepath.Join(b.TempDir(), "api.sock"), domain)
			if err != nil {
				b.Fatal(err)
			}
			defer stand.Close()
			for i := range n {
				stand.SetAgent(fmt.Sprintf("/spire/agent/keylime/%08d-0000-4000-8000-000000000000", i), "keylime", time.Now().Add(time.Hour), true)
			}
			server := NewServer(serverOptions(stand.Path))
			b.ReportAllocs()
			for b.Loop() {
				if reading, err := server.readBulk(b.Context()); err != nil || len(reading.Agents) != n {
					b.Fatal(len(reading.Agents), err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/agent")
		})
	}
}

// What an agent is called is bounded before anything of it is kept.
func TestRollRefusesLongNames(t *testing.T) {
	id := func(path string) *serverapi.SPIFFEID {
		return &serverapi.SPIFFEID{TrustDomain: "funlab.casa", Path: path}
	}
	roll := newRoll(time.Now())
	for _, row := range []*serverapi.Agent{
		{Id: id("/" + strings.Repeat("a", maxID))},
		{Id: id("/a"), AttestationType: strings.Repeat("t", maxType+1)},
		{Id: id("/b"), AttestationType: "keylime"},
	} {
		roll.add(row)
	}
	if len(roll.seen) != 1 || len(roll.counts) != 1 || roll.bad.count != 2 || failure.Of(roll.bad.first) != failure.Malformed {
		t.Errorf("got %d seen, %v, %d refused for %v, want one agent and two refused as malformed", len(roll.seen), roll.counts, roll.bad.count, roll.bad.first)
	}
}
