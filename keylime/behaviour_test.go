package keylime

import (
	"context"
	"crypto/tls"
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/common/config"

	"funlab.casa/attestation_exporter/failure"
	standin "funlab.casa/attestation_exporter/internal/tower/keylime"
)

// A world is a verifier with agents, a registrar and one agent of this host. What
// holds of the stand-in must hold of the real thing: make conformance runs
// checkBehaviour against both.
type world interface {
	verifierURL() string
	registrarURL() string
	localAgent() string
	// http is an HTTP configuration with a client certificate of a kind: "client",
	// "none", "other" (of an unrelated CA) or "expired".
	http(kind string) *config.HTTPClientConfig
	// add adds an agent that behaves as conduct says, and returns its id.
	add(conduct standin.Conduct) string
	change(id string, conduct standin.Conduct)
	remove(id string)
	// registerOnly registers an agent without activating it.
	registerOnly() string
	restartVerifier()
}

// checkBehaviour is what an exporter relies on.
func checkBehaviour(t *testing.T, w world) {
	v := newVerifier(t, w.verifierURL(), w.http("client"))
	steady := w.add(standin.Attests)
	failing := w.add(standin.Attests)
	leaving := w.add(standin.Attests)
	stopped := w.add(standin.Attests)

	t.Run("attests", func(t *testing.T) {
		got := awaitAgent(t, v, steady, func(a Agent) bool { return stateIs(a, GetQuote) && *a.Attestations > 1 })
		if got.agent.Verdict != Pass || got.agent.Mode != Pull || got.agent.Address == "" || got.agent.Event != "" {
			t.Errorf("agent: got %+v, want PASS in pull mode with an address and no event", got.agent)
		}
		if age := got.reading.Taken.Sub(got.agent.LastSuccess); age < -2*time.Second || age > 10*time.Second {
			t.Errorf("age of the last success at the moment of the reading: got %v, want a few seconds", age)
		}
		if !got.reading.Up || got.reading.QuoteInterval != 2*time.Second || got.reading.MaxInterval != 10*time.Second {
			t.Errorf("reading: got up %t, intervals %v and %v, want true, 2s, 10s",
				got.reading.Up, got.reading.QuoteInterval, got.reading.MaxInterval)
		}
		before := *got.agent.Attestations
		awaitAgent(t, v, steady, func(a Agent) bool { return *a.Attestations > before })
	})
	t.Run("bad quote", func(t *testing.T) {
		awaitAgent(t, v, failing, func(a Agent) bool { return stateIs(a, GetQuote) })
		w.change(failing, standin.BadQuote)
		got := awaitAgent(t, v, failing, func(a Agent) bool { return stateIs(a, InvalidQuote) }).agent
		if got.Verdict != Fail || got.Event != "pcr_validation.invalid_pcr_4" {
			t.Errorf("got %s, event %q, want FAIL, pcr_validation.invalid_pcr_4", got.Verdict, got.Event)
		}
	})
	t.Run("stopped on request", func(t *testing.T) {
		awaitAgent(t, v, stopped, func(a Agent) bool { return stateIs(a, GetQuote) })
		w.change(stopped, standin.Stopped)
		got := awaitAgent(t, v, stopped, func(a Agent) bool { return stateIs(a, TenantFailed) }).agent
		if got.Verdict != Fail || got.Event != "" {
			t.Errorf("got %s, event %q, want FAIL without an event", got.Verdict, got.Event)
		}
	})
	t.Run("gone keeps PASS until it is given up", func(t *testing.T) {
		awaitAgent(t, v, leaving, func(a Agent) bool { return stateIs(a, GetQuote) })
		w.change(leaving, standin.Gone)
		got := awaitAgent(t, v, leaving, func(a Agent) bool { return !a.LastSuccess.IsZero() })
		if got.agent.Verdict != Pass {
			t.Errorf("just after: got %s, want PASS", got.agent.Verdict)
		}
		got = awaitAgent(t, v, leaving, func(a Agent) bool { return stateIs(a, Failed) })
		if got.agent.Verdict != Fail || got.agent.Event != "internal.verifier.not_reachable" {
			t.Errorf("given up: got %s, event %q, want FAIL, internal.verifier.not_reachable", got.agent.Verdict, got.agent.Event)
		}
	})
	t.Run("restart", func(t *testing.T) {
		before := awaitAgent(t, v, steady, func(a Agent) bool { return stateIs(a, GetQuote) }).agent
		w.restartVerifier()
		after := awaitAgent(t, v, steady, func(a Agent) bool { return stateIs(a, GetQuote) && a.LastSuccess.After(before.LastSuccess) }).agent
		if *after.Attestations < *before.Attestations {
			t.Errorf("attestations: got %d after %d, want them kept over a restart", *after.Attestations, *before.Attestations)
		}
	})
	t.Run("removed", func(t *testing.T) {
		w.remove(failing)
		await(t, "the agent is gone", func(ctx context.Context) bool {
			reading, err := v.readOnce(ctx)
			return err == nil && find(reading, failing) == nil && find(reading, steady) != nil
		})
	})
	t.Run("identities", func(t *testing.T) {
		for kind, want := range map[string]failure.Reason{"none": failure.Auth, "other": failure.TLS, "expired": failure.TLS} {
			// Several times, since an alert and a reset race each other.
			for range 5 {
				for name, read := range map[string]func(context.Context) error{
					"verifier":  readVerifier(newVerifier(t, w.verifierURL(), w.http(kind))),
					"registrar": readRegistrar(newRegistrar(t, w.registrarURL(), w.http(kind))),
				} {
					if err := read(t.Context()); err == nil || failure.Of(err) != want {
						t.Errorf("%s with the certificate %s: got %v, want a failure of reason %s", name, kind, err, want)
					}
				}
			}
		}
	})
	t.Run("other verifier's agents", func(t *testing.T) {
		other := newVerifier(t, w.verifierURL(), w.http("client"))
		other.options.ID = "nosuch"
		reading, err := other.readOnce(t.Context())
		if err != nil || !reading.Up || len(reading.Agents) != 0 {
			t.Errorf("got %d agents, up %t, %v, want an empty answer", len(reading.Agents), reading.Up, err)
		}
	})
	t.Run("registrar", func(t *testing.T) {
		r := newRegistrar(t, w.registrarURL(), w.http("client"))
		before, err := r.readOnce(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		w.registerOnly()
		after, err := r.readOnce(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if after.ActivatedAgents != before.ActivatedAgents || after.OtherAgents != before.OtherAgents+1 || after.UnknownAgents != 0 {
			t.Errorf("got %d, %d, %d, want one more that isn't activated than in %d, %d, %d", after.ActivatedAgents, after.OtherAgents,
				after.UnknownAgents, before.ActivatedAgents, before.OtherAgents, before.UnknownAgents)
		}
		if before.ActivatedAgents < 4 {
			t.Errorf("activated: got %d, want those that attest", before.ActivatedAgents)
		}
	})
	t.Run("local agent", func(t *testing.T) {
		agent := LocalAgent{Address: w.localAgent(), Settings: NewFiles(t.TempDir(), nil).Agent}
		reading, err := agent.Read(t.Context())
		if err != nil || !reading.Up || reading.Certificate == nil {
			t.Errorf("got %+v, %v, want a certificate", reading, err)
		}
	})
}

type sighting struct {
	reading VerifierReading
	agent   Agent
}

// awaitAgent reads until the agent is as wanted.
func awaitAgent(t *testing.T, v *Verifier, id string, want func(Agent) bool) sighting {
	t.Helper()
	var got sighting
	await(t, "agent "+id, func(ctx context.Context) bool {
		reading, err := v.readOnce(ctx)
		agent := find(reading, id)
		if err != nil || agent == nil || agent.Attestations == nil {
			return false
		}
		got = sighting{reading, *agent}
		return want(*agent)
	})
	return got
}

// await asks until the answer is yes, and at most as long as a verifier takes to
// give an agent up.
func await(t *testing.T, what string, ask func(context.Context) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !ask(ctx) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s: never as wanted", what)
		}
	}
}

func find(reading VerifierReading, id string) *Agent {
	for i := range reading.Agents {
		if reading.Agents[i].ID == id {
			return &reading.Agents[i]
		}
	}
	return nil
}

func stateIs(a Agent, state State) bool { return a.State != nil && *a.State == state }

func newVerifier(t testing.TB, url string, client *config.HTTPClientConfig) *Verifier {
	t.Helper()
	v, err := NewVerifier(VerifierOptions{URL: url, HTTP: client, Settings: NewFiles(t.TempDir(), nil).Verifier})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func newRegistrar(t testing.TB, url string, client *config.HTTPClientConfig) *Registrar {
	t.Helper()
	r, err := NewRegistrar(RegistrarOptions{URL: url, HTTP: client, MaxAgents: 100, Settings: NewFiles(t.TempDir(), nil).Registrar})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func readVerifier(v *Verifier) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := v.readOnce(ctx)
		return err
	}
}

func readRegistrar(r *Registrar) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := r.readOnce(ctx)
		return err
	}
}

// A standinWorld is the stand-ins, with a verifier in haste.
type standinWorld struct {
	t         *testing.T
	estate    estate
	verifier  *standin.Verifier
	registrar *standin.Registrar
	agent     *standin.LocalAgent
	added     int
}

func newStandinWorld(t *testing.T) *standinWorld {
	t.Helper()
	w := &standinWorld{t: t, estate: newEstate(t)}
	var err error
	w.verifier, err = standin.StartVerifier(t.Context(), standin.VerifierOptions{
		Address: "127.0.0.1:0", TLS: w.estate.serverTLS(), ID: "default", Interval: 2 * time.Second, Haste: 50,
	})
	if err != nil {
		t.Fatal(err)
	}
	w.registrar, err = standin.StartRegistrar(t.Context(), standin.RegistrarOptions{
		Address: "127.0.0.1:0", TLS: w.estate.serverTLS(),
	})
	if err != nil {
		t.Fatal(err)
	}
	settings := w.estate.serverTLS()
	settings.ClientAuth = tls.RequireAndVerifyClientCert
	w.agent, err = standin.StartAgent(t.Context(), standin.AgentOptions{Address: "127.0.0.1:0", TLS: settings, ID: "a"})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *standinWorld) verifierURL() string  { return w.verifier.URL() }
func (w *standinWorld) registrarURL() string { return w.registrar.URL() }
func (w *standinWorld) localAgent() string   { return w.agent.Address }

func (w *standinWorld) http(kind string) *config.HTTPClientConfig {
	client := w.estate.client
	switch kind {
	case "none":
		client = nil
	case "other":
		client = mint(w.t, "other", mint(w.t, "unrelated", nil, asCA))
	case "expired":
		client = mint(w.t, "expired", w.estate.intermediate, expired)
	}
	return httpConfig(w.t, w.t.TempDir(), w.estate.root, client)
}

func (w *standinWorld) add(conduct standin.Conduct) string {
	w.added++
	id := fmt.Sprintf("%08d-0000-4000-8000-000000000000", w.added)
	w.verifier.Add(standin.Agent{ID: id, IP: "127.0.0.1", Port: 9002, Conduct: conduct, V: canary})
	w.registrar.Register(id, true)
	return id
}

func (w *standinWorld) change(id string, conduct standin.Conduct) { w.verifier.Change(id, conduct) }
func (w *standinWorld) remove(id string)                          { w.verifier.Remove(id) }
func (w *standinWorld) restartVerifier()                          { w.verifier.Restart() }

func (w *standinWorld) registerOnly() string {
	w.registrar.Register("not-activated", false)
	return "not-activated"
}

// canary is the secret that must be nowhere.
const canary = "CANARY-dGhlIGtleSB0byB0aGUgcGF5bG9hZA=="

func TestBehaviour(t *testing.T) {
	checkBehaviour(t, newStandinWorld(t))
}
