package collector

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"funlab.casa/attestation_exporter/keylime"
)

var (
	keylimeVerifierUp = newDesc("keylime", "verifier_up",
		"Whether the verifier answered with its agents.", "verifier")
	keylimeVerifierRead = newDesc("keylime", "verifier_read_timestamp_seconds",
		"When the verifier made the answer that the agents' series are from, by its own clock; ages are counted from here.", "verifier")
	keylimeAgents = newDesc("keylime", "agents",
		"Agents of the verifier in each operational state; a state without a name shows its number, and none is an agent that was never polled.",
		"verifier", "state")
	keylimeQuoteInterval = newDesc("keylime", "quote_interval_seconds",
		"Time from one quote of an agent to the next, as configured.", "verifier")
	keylimeMaxInterval = newDesc("keylime", "max_attestation_interval_seconds",
		"Time after which the verifier itself calls an agent in push mode overdue.", "verifier")

	keylimeAgentInfo = newDesc("keylime", "agent_info",
		"What the verifier knows of an agent.",
		"agent", "address", "verifier", "mode", "hash_alg", "enc_alg", "sign_alg", "runtime_policy", "measured_boot_policy")
	keylimeAgentState = newDesc("keylime", "agent_operational_state",
		"The agent's operational state by Keylime's own number: 3 is healthy or being tried again, 7 unreachable and given up, 9 a refused quote, 10 stopped on request.", "agent")
	keylimeAgentPassing = newDesc("keylime", "agent_passing",
		"The verifier's verdict, which says nothing about how recent it is: 1 for PASS, 0 for FAIL and TIMEOUT.", "agent")
	keylimeAgentAttestations = newDesc("keylime", "agent_attestations_total",
		"Successful attestations since the agent was added.", "agent")
	keylimeAgentLastQuote = newDesc("keylime", "agent_last_quote_timestamp_seconds",
		"When the agent's last quote came, accepted or not, by the verifier's clock.", "agent")
	keylimeAgentLastSuccess = newDesc("keylime", "agent_last_success_timestamp_seconds",
		"When the agent last attested successfully, by the verifier's clock.", "agent")
	keylimeAgentFailure = newDesc("keylime", "agent_failure_info",
		"Why the attestation failed, while it is failed; other stands for events that aren't known.", "agent", "event")
)

type keylimeVerifier struct {
	read func(context.Context) (keylime.VerifierReading, error)
}

// NewKeylimeVerifier makes the collector of a verifier and the agents it polls.
func NewKeylimeVerifier(read func(context.Context) (keylime.VerifierReading, error)) Collector {
	return &keylimeVerifier{read: read}
}

func (c *keylimeVerifier) Update(ctx context.Context, ch chan<- prometheus.Metric) error {
	reading, err := c.read(ctx)
	if errors.Is(err, keylime.ErrAbsent) {
		return fmt.Errorf("%w: %w", ErrNoData, err)
	}
	if reading.Verifier != "" {
		claim(ch, keylimeVerifierUp, reading.Up, reading.Verifier)
	}
	if reading.Up {
		sendKeylimeVerifier(ch, reading)
	}
	return err
}

func sendKeylimeVerifier(ch chan<- prometheus.Metric, reading keylime.VerifierReading) {
	verifier := reading.Verifier
	moment(ch, keylimeVerifierRead, reading.Taken, verifier)
	keylimeDuration(ch, keylimeQuoteInterval, reading.QuoteInterval, verifier)
	keylimeDuration(ch, keylimeMaxInterval, reading.MaxInterval, verifier)
	for state, agents := range keylimeCount(reading.Agents) {
		gauge(ch, keylimeAgents, float64(agents), verifier, state)
	}
	for i := range reading.Agents {
		sendKeylimeAgent(ch, verifier, &reading.Agents[i])
	}
}

func sendKeylimeAgent(ch chan<- prometheus.Metric, verifier string, agent *keylime.Agent) {
	gauge(ch, keylimeAgentInfo, 1, agent.ID, agent.Address, verifier, string(agent.Mode),
		agent.HashAlg, agent.EncAlg, agent.SignAlg, keylimeFlag(agent.RuntimePolicy), keylimeFlag(agent.MeasuredBootPolicy))
	if agent.State != nil {
		gauge(ch, keylimeAgentState, float64(*agent.State), agent.ID)
	}
	switch agent.Verdict {
	case keylime.Pass:
		claim(ch, keylimeAgentPassing, true, agent.ID)
	case keylime.Fail, keylime.Timeout:
		claim(ch, keylimeAgentPassing, false, agent.ID)
	case keylime.Pending: // No verdict yet, and no series.
	}
	if agent.Attestations != nil {
		counter(ch, keylimeAgentAttestations, float64(*agent.Attestations), agent.ID)
	}
	moment(ch, keylimeAgentLastQuote, agent.LastQuote, agent.ID)
	moment(ch, keylimeAgentLastSuccess, agent.LastSuccess, agent.ID)
	if agent.Event != "" {
		gauge(ch, keylimeAgentFailure, 1, agent.ID, agent.Event)
	}
}

// keylimeCount counts agents by state. Every known state is there, so that its first
// agent is a rise from 0 and not a new series.
func keylimeCount(agents []keylime.Agent) map[string]int {
	count := map[string]int{}
	for _, state := range keylime.States() {
		count[state.String()] = 0
	}
	for i := range agents {
		if state := agents[i].State; state != nil {
			count[state.String()]++
		} else {
			count["none"]++
		}
	}
	return count
}

// keylimeDuration sends a duration that is known.
func keylimeDuration(ch chan<- prometheus.Metric, desc *prometheus.Desc, d time.Duration, labels ...string) {
	if d > 0 {
		gauge(ch, desc, d.Seconds(), labels...)
	}
}

// keylimeFlag is a flag as a label, empty where the verifier said nothing.
func keylimeFlag(flag *bool) string {
	if flag == nil {
		return ""
	}
	return strconv.FormatBool(*flag)
}
