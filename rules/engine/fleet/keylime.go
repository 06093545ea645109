package fleet

import (
	"strconv"
	"time"
)

// Keylime's operational states, by its own numbers.
const (
	GetQuote     = 3
	Failed       = 7
	InvalidQuote = 9
	TenantFailed = 10
)

const (
	quoteInterval = 2 * time.Second
	// An agent that hasn't answered for this long is given up for good.
	giveUpAfter = 71 * time.Second
	// An agent that is added anew answers its first quote after this.
	firstQuote = 3 * time.Second
)

// Verifier is Keylime's verifier with its registrar.
type Verifier struct {
	// Down answers nobody, Frozen answers and asks no agent.
	Down, Frozen  bool
	RegistrarDown bool
	// Stray agents are registered and unknown to the verifier.
	Stray []string

	fleet *Fleet
}

func (v *Verifier) asking(now time.Time) bool { return !v.Down && !v.Frozen && v.fleet.Spire.up(now) }

// ask is one round of polling an agent, and what follows of its silence.
func (v *Verifier) ask(h *Host, now time.Time) {
	if !v.asking(now) {
		// The count of unanswered tries begins anew with the verifier.
		h.lastAnswer = now
		return
	}
	if h.state != GetQuote || now.Before(h.added.Add(firstQuote)) {
		return
	}
	switch {
	case h.up(now) && !h.AgentDead && !h.Unreachable && !h.hangs():
		h.lastSuccess = now.Add(-v.fleet.between(0, quoteInterval))
		h.lastAnswer = now
		h.attested++
	case h.hangs() && h.up(now):
		// Seen on the real verifier: an agent that takes the connection and says
		// nothing stays in its state for minutes.
	case now.Sub(h.lastAnswer) > giveUpAfter:
		h.state, h.givenUp = Failed, now
	}
}

// hangs is whether the agent takes a connection and gives no quote on it.
func (h *Host) hangs() bool { return h.AgentHangs || h.QuotesHang || h.TPMWedged }

// GivenUp is when the verifier last gave the agent up.
func (h *Host) GivenUp() time.Time { return h.givenUp }

// Refuse is a quote that the verifier doesn't accept.
func (h *Host) Refuse() { h.state = InvalidQuote }

// StopAttestation is a tenant that says stop.
func (h *Host) StopAttestation() { h.state = TenantFailed }

// Readmit deletes the agent from the verifier and adds it anew.
func (h *Host) Readmit(now time.Time) {
	h.state, h.added, h.lastAnswer, h.lastSuccess, h.attested = GetQuote, now, now, time.Time{}, 0
}

func (v *Verifier) expose(to Exposition, now time.Time, verifierID string) {
	to.Set(truth(!v.Down), "attestation_keylime_verifier_up", "verifier", verifierID)
	if v.Down {
		return
	}
	to.Set(v.fleet.Spire.stamp(now), "attestation_keylime_verifier_read_timestamp_seconds", "verifier", verifierID)
	to.Set(quoteInterval.Seconds(), "attestation_keylime_quote_interval_seconds", "verifier", verifierID)
	count := map[int]int{}
	for _, h := range v.fleet.Hosts() {
		count[h.state]++
		to.Set(1, "attestation_keylime_agent_info", "agent", h.AgentID, "address", h.Name+":9002", "verifier", verifierID, "mode", "pull",
			"hash_alg", "sha256", "enc_alg", "rsa", "sign_alg", "rsassa", "runtime_policy", h.Name, "measured_boot_policy", "")
		to.Set(float64(h.state), "attestation_keylime_agent_operational_state", "agent", h.AgentID)
		to.Set(float64(h.attested), "attestation_keylime_agent_attestations_total", "agent", h.AgentID)
		switch h.state {
		case GetQuote:
			to.Set(1, "attestation_keylime_agent_passing", "agent", h.AgentID)
		default:
			to.Set(0, "attestation_keylime_agent_passing", "agent", h.AgentID)
		}
		if h.state == Failed || h.state == InvalidQuote {
			to.Set(1, "attestation_keylime_agent_failure_info", "agent", h.AgentID, "event", "other")
		}
		if !h.lastSuccess.IsZero() {
			to.Set(v.fleet.Spire.stamp(h.lastSuccess), "attestation_keylime_agent_last_success_timestamp_seconds", "agent", h.AgentID)
			to.Set(v.fleet.Spire.stamp(h.lastSuccess), "attestation_keylime_agent_last_quote_timestamp_seconds", "agent", h.AgentID)
		}
	}
	for state := range 11 {
		to.Set(float64(count[state]), "attestation_keylime_agents", "verifier", verifierID, "state", strconv.Itoa(state))
	}
}

func (v *Verifier) exposeRegistrar(to Exposition) {
	to.Set(truth(!v.RegistrarDown), "attestation_keylime_registrar_up")
	if v.RegistrarDown {
		return
	}
	for _, h := range v.fleet.Hosts() {
		to.Set(1, "attestation_keylime_agent_registered", "agent", h.AgentID)
	}
	for _, id := range v.Stray {
		to.Set(1, "attestation_keylime_agent_registered", "agent", id)
	}
	to.Set(float64(len(v.fleet.Hosts())+len(v.Stray)), "attestation_keylime_registrar_agents", "activated", "true")
	to.Set(0, "attestation_keylime_registrar_agents", "activated", "false")
}
