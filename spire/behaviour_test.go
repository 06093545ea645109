package spire

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"funlab.casa/attestation_exporter/certs"
	"funlab.casa/attestation_exporter/failure"
	tower "funlab.casa/attestation_exporter/internal/tower/spire"
)

const (
	behaviourTTL = 40 * time.Second // of agents' SVIDs
	// behaviourWait is the longest that a real agent or server takes to show what
	// happened, its renewals included.
	behaviourWait = behaviourTTL
)

// A world is a trust domain with one server and one attested agent, real or a
// stand-in, and its operator's tools.
type world interface {
	server() ServerOptions
	agent() AgentOptions
	now() time.Time
	// pass lets time pass; the agent renews as long as it has its server.
	pass(time.Duration)

	// bundle and agents are what the operator's tools print.
	bundle() []byte
	agents() []ServerAgent

	// attest attests one more agent, which is then stopped, and returns its
	// SPIFFE ID.
	attest(uuid string) string
	attestByToken() string
	ban(id string)
	prepare()
	activate()
	taintOld()
	revokeOld()
	hangServer(hung bool)
	stopServer()
}

// checkBehaviour holds a world to what the readers, metrics and rules rely on. Its
// steps follow each other.
func checkBehaviour(t *testing.T, w world) {
	server, agent := NewServer(w.server()), NewAgent(w.agent())
	server.now = w.now
	readServer := func() (ServerReading, error) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		return server.Read(ctx)
	}
	// eventually reads until the condition holds, and logs how long that took.
	eventually := func(what string, holds func() bool) {
		t.Helper()
		for begin := time.Now(); ; time.Sleep(20 * time.Millisecond) {
			if holds() {
				t.Logf("%s: seen after %s", what, time.Since(begin).Round(time.Millisecond))
				return
			}
			if time.Since(begin) > behaviourWait {
				t.Fatalf("%s: not seen in %s", what, behaviourWait)
			}
		}
	}
	serverShows := func(what string, holds func(ServerReading) bool) {
		t.Helper()
		eventually(what, func() bool {
			reading, err := readServer()
			return err == nil && holds(reading)
		})
	}

	t.Log("fresh")
	reading, err := readServer()
	if err != nil || !reading.Up || reading.TrustDomain != "funlab.casa" || len(reading.Agents) != 1 || states(reading, "x509") != "active" || states(reading, "jwt") != "active" {
		t.Fatalf("server: got %+v, %v, want one agent and one active authority of each type", reading, err)
	}
	checkAgents(t, w, reading)
	local, err := agent.Read(t.Context())
	if err != nil || !local.Up || !local.SyncVisible || local.Identity == nil || local.SVID == nil || local.WorkloadAPI <= 0 {
		t.Fatalf("agent: got %+v, %v, want all of it", local, err)
	}
	if *local.Identity != reading.Agents[0].Identity || !local.SVID.NotAfter.Equal(reading.Agents[0].NotAfter) {
		t.Errorf("agent: got %+v until %s, and the server says %+v", *local.Identity, local.SVID.NotAfter, reading.Agents[0])
	}
	checkSync(t, w, local, 10*time.Second)
	copied := certs.ParseBundle("copy", w.bundle())
	for _, source := range []LiveSource{server.Live, agent.Live} {
		if got := difference(t, w, copied, source); got != (certs.Difference{}) {
			t.Errorf("copy of this moment: got %+v, want no difference", got)
		}
	}

	t.Log("more agents, one of them banned")
	second := w.attest("11111111-1111-4111-8111-111111111111")
	banned := w.attest("22222222-2222-4222-8222-222222222222")
	byToken := w.attestByToken()
	w.ban(banned)
	serverShows("ban", func(r ServerReading) bool { a, ok := find(r, banned); return ok && a.Banned })
	reading, _ = readServer()
	checkAgents(t, w, reading)
	if a, ok := find(reading, byToken); !ok || a.AttestationType != "join_token" || a.CanReattest || a.KeylimeAgent != "" {
		t.Errorf("got %+v, %v, want an agent by join token that can't attest again", a, ok)
	}
	if got := fmt.Sprint(reading.Counts); got != "[{join_token 1 0} {keylime 2 0}]" {
		t.Errorf("got counts %s, want one live by token and two by Keylime", got)
	}

	t.Log("an authority prepared, activated, the old one tainted, revoked")
	w.prepare()
	serverShows("prepared", func(r ServerReading) bool { return states(r, "x509") == "active prepared" })
	eventually("missing from the copy, by the agent", func() bool { return difference(t, w, copied, agent.Live).Missing == 1 })
	w.activate()
	serverShows("activated", func(r ServerReading) bool { return states(r, "x509") == "active old" })
	copied = certs.ParseBundle("copy", w.bundle())
	w.taintOld()
	serverShows("tainted", func(r ServerReading) bool {
		return certs.Compare(copied.Authorities, r.Bundle.Authorities, w.now()) == certs.Difference{Tainted: 1}
	})
	w.revokeOld()
	eventually("revoked, by the agent", func() bool { return difference(t, w, copied, agent.Live) == certs.Difference{Tainted: 1} })
	serverShows("revoked", func(r ServerReading) bool {
		return len(r.Bundle.Authorities) == 1 && states(r, "x509") == "active old"
	})

	t.Log("expired agents")
	w.pass(behaviourTTL)
	serverShows("expiry", func(r ServerReading) bool {
		a, ok := find(r, second)
		return ok && a.NotAfter.Before(w.now()) && !a.Banned && fmt.Sprint(r.Counts) == "[{join_token 0 1} {keylime 1 1}]"
	})
	local, err = agent.Read(t.Context())
	if err != nil || !local.SVID.NotAfter.After(w.now()) {
		t.Errorf("agent with a server: got %+v, %v, want a renewed SVID", local, err)
	}

	t.Log("server hung")
	w.hangServer(true)
	eventually("hang", func() bool {
		r, err := readServer()
		return !r.Up && r.TrustDomain == "funlab.casa" && err != nil && failure.Of(err) == failure.Timeout
	})
	w.hangServer(false)
	serverShows("server back", func(r ServerReading) bool { return r.Up })

	t.Log("server stopped")
	w.stopServer()
	stopped := w.now()
	eventually("stop", func() bool {
		r, err := readServer()
		return !r.Up && err != nil && failure.Of(err) == failure.Unreachable
	})
	local, err = agent.Read(t.Context())
	if err != nil || !local.Up {
		t.Errorf("agent without a server: got %+v, %v, want one that still serves", local, err)
	}
	w.pass(10 * time.Second)
	local, err = agent.Read(t.Context())
	if err != nil || local.LastSync.After(stopped.Add(3*time.Second)) {
		t.Errorf("got last sync %s, %v, want none since %s", local.LastSync, err, stopped)
	}
	w.pass(behaviourTTL)
	eventually("agent's own SVID ended", func() bool {
		r, err := agent.Read(t.Context())
		return err != nil && !errors.Is(err, ErrAbsent) && !r.SyncVisible && r.SVID != nil && r.SVID.NotAfter.Before(w.now())
	})
}

func find(reading ServerReading, id string) (ServerAgent, bool) {
	i := slices.IndexFunc(reading.Agents, func(a ServerAgent) bool { return a.ID == id })
	if i < 0 {
		return ServerAgent{}, false
	}
	return reading.Agents[i], true
}

func states(reading ServerReading, kind string) string {
	var names []string
	for _, a := range reading.Authorities {
		if a.Type == kind {
			names = append(names, a.State)
		}
	}
	return strings.Join(names, " ")
}

func difference(t *testing.T, w world, copied certs.Bundle, live LiveSource) certs.Difference {
	t.Helper()
	bundles, err := live(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	bundle, ok := copied.LiveIn(bundles)
	if !ok {
		t.Fatalf("got %+v, no live side of %s", bundles, copied.TrustDomain)
	}
	return certs.Compare(copied.Authorities, bundle.Authorities, w.now())
}

// checkAgents compares with the listing of the operator's tool.
func checkAgents(t *testing.T, w world, reading ServerReading) {
	t.Helper()
	order := func(a, b ServerAgent) int { return strings.Compare(a.ID, b.ID) }
	got, want := slices.SortedFunc(slices.Values(reading.Agents), order), slices.SortedFunc(slices.Values(w.agents()), order)
	if !slices.Equal(got, want) {
		t.Errorf("got agents\n%+v\nwant\n%+v", got, want)
	}
}

func checkSync(t *testing.T, w world, reading AgentReading, most time.Duration) {
	t.Helper()
	if age := w.now().Sub(reading.LastSync); age > most {
		t.Errorf("got a last sync %s ago, want %s at most", age, most)
	}
}

// TestBehaviour holds the stand-ins to what TestConformance holds SPIRE to.
func TestBehaviour(t *testing.T) {
	checkBehaviour(t, newStandIn(t))
}

// standIn is a world of stand-ins with a clock of its own.
type standIn struct {
	t       *testing.T
	ahead   time.Duration
	domain  *tower.Domain
	srv     *tower.Server
	agt     *tower.Agent
	dir     string
	stopped bool
}

func newStandIn(t *testing.T) *standIn {
	t.Helper()
	w := &standIn{t: t}
	var err error
	if w.domain, err = tower.NewDomain("funlab.casa", 24*time.Hour, w.now); err != nil {
		t.Fatal(err)
	}
	w.srv = newServer(t, w.domain)
	w.agt, w.dir = newAgent(t, w.domain)
	w.agt.SetEntry(true)
	w.renew()
	return w
}

func (w *standIn) renew() {
	if err := w.agt.Renew(behaviourTTL); err != nil {
		w.t.Fatal(err)
	}
	w.srv.SetAgent(w.agt.Path, "keylime", w.agt.NotAfter(), true)
}

func (w *standIn) server() ServerOptions { return serverOptions(w.srv.Path) }

func (w *standIn) agent() AgentOptions {
	options := agentOptions(w.dir)
	options.WorkloadAPI = true
	return options
}

func (w *standIn) now() time.Time { return time.Now().Add(w.ahead) }

func (w *standIn) pass(d time.Duration) {
	w.ahead += d
	if !w.stopped {
		w.renew()
	}
}

func (w *standIn) bundle() []byte { return w.domain.PEM() }

func (w *standIn) agents() []ServerAgent {
	roll := newRoll(w.now())
	for _, agent := range w.srv.Agents() {
		roll.add(agent)
	}
	return roll.agents
}

func (w *standIn) attest(uuid string) string {
	path := "/spire/agent/keylime/" + uuid
	w.srv.SetAgent(path, "keylime", w.now().Add(behaviourTTL), true)
	return "spiffe://funlab.casa" + path
}

func (w *standIn) attestByToken() string {
	path := "/spire/agent/join_token/ca26208e-bb8b-4e5d-adc5-bb34095878cc"
	w.srv.SetAgent(path, "join_token", w.now().Add(behaviourTTL), false)
	return "spiffe://funlab.casa" + path
}

func (w *standIn) ban(id string) { w.srv.Ban(strings.TrimPrefix(id, "spiffe://funlab.casa")) }

func (w *standIn) prepare() {
	if err := w.domain.Prepare(); err != nil {
		w.t.Fatal(err)
	}
}

func (w *standIn) activate()            { w.domain.Activate() }
func (w *standIn) taintOld()            { w.domain.TaintOld() }
func (w *standIn) revokeOld()           { w.domain.RevokeOld() }
func (w *standIn) hangServer(hung bool) { w.srv.Hang(hung) }

func (w *standIn) stopServer() {
	w.srv.Close()
	w.stopped = true
	w.agt.LoseServer(w.now())
}
