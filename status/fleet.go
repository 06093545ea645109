package status

import (
	"maps"
	"slices"
	"strings"
)

// A fleet is what all answers together say about one thing: whose an agent is, what
// Keylime thinks of it, who else serves a trust domain.
type fleet struct {
	hostsOfAgent map[string][]string // Keylime's agent id
	hostOfSPIFFE map[string]string
	condemned    map[string]string // agents that Keylime refused or stopped, and which
	silent       map[string]bool   // agents whose own host says that they, or their TPM, don't answer
	known        map[string]bool   // to a verifier
	verifiers    int               // that answer
	mute         int               // verifiers that don't
	registered   float64           // agents, with the registrar that has most
	serving      map[string]bool   // trust domains with a server that answers
}

func newFleet(answers []Answer) fleet {
	f := fleet{
		hostsOfAgent: map[string][]string{}, hostOfSPIFFE: map[string]string{},
		condemned: map[string]string{}, silent: map[string]bool{}, known: map[string]bool{}, serving: map[string]bool{},
	}
	for _, answer := range answers {
		f.add(answer.Host, answer.Samples)
	}
	return f
}

func (f *fleet) add(host string, s Samples) {
	up, told := s.value("attestation_keylime_local_agent_up")
	read, tried := s.value("attestation_scrape_collector_success", "collector", "tpm")
	for _, info := range s["attestation_keylime_local_agent_info"] {
		agent := info.label("agent")
		if told && up == 0 || tried && read == 0 {
			f.silent[agent] = true
		}
		if !slices.Contains(f.hostsOfAgent[agent], host) {
			f.hostsOfAgent[agent] = append(f.hostsOfAgent[agent], host)
		}
	}
	for _, info := range s["attestation_spire_agent_info"] {
		f.hostOfSPIFFE[info.label("spiffe_id")] = host
	}
	f.verifiers += len(upOf(s, "attestation_keylime_verifier_up"))
	f.mute += len(s["attestation_keylime_verifier_up"]) - len(upOf(s, "attestation_keylime_verifier_up"))
	if registered, ok := s.value("attestation_keylime_registrar_agents", "activated", "true"); ok {
		f.registered = max(f.registered, registered)
	}
	for _, up := range upOf(s, "attestation_spire_server_up") {
		f.serving[up.label("trust_domain")] = true
	}
	failure := s.by("agent", "attestation_keylime_agent_failure_info")
	state := s.by("agent", "attestation_keylime_agent_operational_state")
	for _, info := range s["attestation_keylime_agent_info"] {
		agent := info.label("agent")
		f.known[agent] = true
		_, failed := failure[agent]
		switch {
		case refused(state[agent], info.label("mode"), failed):
			f.condemned[agent] = "refused"
		case state[agent] == stateStopped:
			f.condemned[agent] = "stopped"
		}
	}
}

// upOf returns the samples of a metric that are 1.
func upOf(s Samples, name string) []sample {
	return slices.DeleteFunc(slices.Clone(s[name]), func(one sample) bool { return one.value != 1 })
}

// hostOf is the host whose agent this is, empty where nobody or more than one says
// so.
func (f fleet) hostOf(agent string) string {
	if hosts := f.hostsOfAgent[agent]; len(hosts) == 1 {
		return hosts[0]
	}
	return ""
}

// claimedTwice finds agents that several hosts call their own.
func (f fleet) claimedTwice() []Row {
	var rows []Row
	for _, agent := range slices.Sorted(maps.Keys(f.hostsOfAgent)) {
		hosts := f.hostsOfAgent[agent]
		if len(hosts) < 2 {
			continue
		}
		for _, host := range hosts {
			rows = append(rows, view{host: host}.wrong(agentClaimedTwice, Keylime, agentName(agent), "is claimed by %s", strings.Join(hosts, " and ")))
		}
	}
	return rows
}
