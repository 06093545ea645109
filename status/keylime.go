package status

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Keylime's numbers for the states that end in an alert.
const (
	stateGivenUp    = 7
	stateTerminated = 8
	stateRefused    = 9
	stateStopped    = 10
)

// What keylime_stale_seconds and keylime_stale_intervals of the rules are.
const (
	staleSeconds   = 60
	staleIntervals = 10
)

// defaultAgent is the id that Keylime's agent takes when nobody gives it one: two
// hosts that have it are one agent to the verifier.
const defaultAgent = "d432fbb3-d2f1-4a97-9ef7-75bd81c00000"

const sharedID = "has the default UUID, which other hosts may have too"

func agentName(agent string) string { return "agent " + agent }

// refused reports whether the verifier has judged against the agent. A failure's
// event in pull mode belongs to state 7, which is no verdict.
func refused(state float64, mode string, failed bool) bool {
	return state == stateRefused || mode == "push" && failed
}

// keylimeLocal is about this host's own agent.
func (v view) keylimeLocal() []Row {
	var rows []Row
	what := "this host's agent"
	for _, info := range v.samples["attestation_keylime_local_agent_info"] {
		what = agentName(info.label("agent"))
		if info.label("agent") == defaultAgent {
			rows = append(rows, v.wrong(defaultUUID, Keylime, what, sharedID))
		}
	}
	up, ok := v.samples.value("attestation_keylime_local_agent_up")
	switch {
	case !ok:
	case up == 0:
		rows = append(rows, v.wrong(localAgentDown, Keylime, what, "doesn't answer on its own host%s", v.reason("keylime-agent")))
	default:
		rows = append(rows, v.fine(Keylime, what, "answers on its own host"))
	}
	return rows
}

// keylimeVerifiers is about the verifiers that this host reads, and their agents.
func (v view) keylimeVerifiers() []Row {
	var rows []Row
	for _, up := range v.samples["attestation_keylime_verifier_up"] {
		verifier := up.label("verifier")
		what := "verifier " + verifier
		if up.value == 0 {
			rows = append(rows, v.wrong(verifierUnreachable, Keylime, what, "doesn't answer%s", v.reason("keylime-verifier")))
			continue
		}
		agents := v.agentsOf(verifier)
		rows = append(rows, v.verifier(what, agents).standing())
		for _, a := range agents {
			rows = append(rows, v.agent(a)...)
		}
	}
	return rows
}

// An agent is what a verifier says of one.
type agent struct {
	id, mode, event string
	state           float64
	failed          bool
	// age is the time from the last success to the moment of the reading, in the
	// verifier's clock; absent without a success.
	age     *float64
	limit   float64
	counted float64
}

func (a agent) fresh() bool { return a.age != nil && *a.age <= a.limit }

func (v view) agentsOf(verifier string) []agent {
	s := v.samples
	states := s.by("agent", "attestation_keylime_agent_operational_state")
	successes := s.by("agent", "attestation_keylime_agent_last_success_timestamp_seconds")
	totals := s.by("agent", "attestation_keylime_agent_attestations_total")
	events := map[string]string{}
	for _, failure := range s["attestation_keylime_agent_failure_info"] {
		events[failure.label("agent")] = failure.label("event")
	}
	read, known := s.value("attestation_keylime_verifier_read_timestamp_seconds", "verifier", verifier)
	interval, _ := s.value("attestation_keylime_quote_interval_seconds", "verifier", verifier)
	var agents []agent
	for _, info := range s.only("attestation_keylime_agent_info", "verifier", verifier) {
		id := info.label("agent")
		one := agent{
			id: id, mode: info.label("mode"), state: states[id], counted: totals[id],
			limit: max(staleSeconds, staleIntervals*interval),
		}
		one.event, one.failed = events[id]
		if success, ok := successes[id]; ok && known {
			age := read - success
			one.age = &age
		}
		agents = append(agents, one)
	}
	return agents
}

// verifier judges the verifier by its agents: one that attests nobody answers all
// the same.
func (v view) verifier(what string, agents []agent) Row {
	fresh, limit, explained := 0, "", 0
	for _, a := range agents {
		limit = span(a.limit)
		switch _, condemned := v.fleet.condemned[a.id]; {
		case a.fresh():
			fresh++
		case condemned || v.fleet.silent[a.id]:
			explained++
		}
	}
	switch {
	case fresh > 0:
		return v.fine(Keylime, what, "answers; %d of %s attested in the last %s", fresh, counted(float64(len(agents)), "agent", "agents"), limit)
	case len(agents) > 0 && explained == len(agents):
		return v.fine(Keylime, what, "answers; none of its %s attested in the last %s, each for a reason of its own", counted(float64(len(agents)), "agent", "agents"), limit)
	case len(agents) > 0:
		return v.wrong(nobodyAttested, Keylime, what, "answers, but none of its %s attested in the last %s", counted(float64(len(agents)), "agent", "agents"), limit)
	case v.fleet.registered > 0 && len(v.fleet.known) == 0:
		return v.wrong(nobodyAttested, Keylime, what, "answers, but knows none of %s that are registered", counted(v.fleet.registered, "agent", "agents"))
	}
	return v.fine(Keylime, what, "answers; it has no agents")
}

// agent judges one agent by what its verifier has recorded. The verifier's own
// verdict is no evidence: it stays at PASS while nothing is attested.
func (v view) agent(a agent) []Row {
	var rows []Row
	wrong := func(name alert, format string, args ...any) {
		rows = append(rows, v.wrong(name, Keylime, agentName(a.id), format, args...).at(v.fleet.hostOf(a.id)))
	}
	event := ""
	if a.event != "" {
		event = ": " + a.event
	}
	if a.id == defaultAgent && v.fleet.hostOf(a.id) == "" {
		wrong(defaultUUID, sharedID)
	}
	switch {
	case refused(a.state, a.mode, a.failed):
		wrong(integrityFailure, "the verifier refused its quote or what that proves%s", event)
	case a.state == stateStopped:
		wrong(agentStopped, "attestation was stopped on request")
	case a.state == stateGivenUp:
		wrong(agentGivenUp, "the verifier reached it no more and doesn't ask again%s", event)
	case a.state == stateTerminated:
	case a.age == nil:
		wrong(attestationStale, "has never attested")
	case *a.age > a.limit:
		wrong(attestationStale, "last attested %s before the verifier's answer", span(*a.age))
	}
	if len(rows) == 0 {
		rows = append(rows, v.fine(Keylime, agentName(a.id), "%s", a.healthy()).at(v.fleet.hostOf(a.id)))
	}
	return rows
}

func (a agent) healthy() string {
	if a.age == nil {
		return "is being deleted"
	}
	return fmt.Sprintf("attested %s before the verifier's answer, %.0f times in all", span(max(*a.age, 0)), a.counted)
}

// keylimeRegistrar is about the registrar, and agents that nobody verifies.
func (v view) keylimeRegistrar() []Row {
	up, ok := v.samples.value("attestation_keylime_registrar_up")
	if !ok {
		return nil
	}
	if up == 0 {
		return []Row{v.wrong(registrarUnreachable, Keylime, "registrar", "doesn't answer%s", v.reason("keylime-registrar"))}
	}
	var rows []Row
	activated := v.samples.by("agent", "attestation_keylime_agent_registered")
	for _, id := range slices.Sorted(maps.Keys(activated)) {
		if v.fleet.known[id] {
			continue
		}
		if v.fleet.verifiers > 0 && v.fleet.mute == 0 {
			rows = append(rows, v.wrong(agentNotVerified, Keylime, agentName(id), "is registered, and no verifier knows it").at(v.fleet.hostOf(id)))
		}
		if id == defaultAgent && v.fleet.hostOf(id) == "" {
			rows = append(rows, v.wrong(defaultUUID, Keylime, agentName(id), sharedID))
		}
	}
	var counts []string
	for _, one := range v.samples["attestation_keylime_registrar_agents"] {
		if name := map[string]string{"true": "activated", "false": "not activated"}[one.label("activated")]; name != "" {
			counts = append(counts, fmt.Sprintf("%.0f %s", one.value, name))
		}
	}
	slices.Sort(counts)
	return append(rows, v.fine(Keylime, "registrar", "answers; agents: %s", strings.Join(counts, ", ")))
}
