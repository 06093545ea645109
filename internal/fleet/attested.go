package fleet

import (
	"strconv"
	"time"
)

const quoteInterval = 2 * time.Second

// hostAgents are the agents on a host: Keylime's and SPIRE's.
func (f Fleet) hostAgents(p *page, h host, at time.Time) {
	p.claim("attestation_keylime_local_agent_up", h.name != "auth" || !f.broken("agent-gone", at))
	p.add("attestation_keylime_local_agent_info", 1, "agent", h.agent)
	p.claim("attestation_spire_agent_up", true)
	p.add("attestation_spire_agent_info", 1, "spiffe_id", h.spiffeID(), "trust_domain", TrustDomain, "attestation_type", "keylime", "keylime_agent", h.agent)
	p.claim("attestation_spire_agent_sync_visible", true)
	p.moments("attestation_spire_agent_last_sync_timestamp_seconds", before(f.until("spire-server", at), 5*time.Second, time.Duration(h.number)*time.Second))
	p.add("attestation_spire_workload_api_duration_seconds", 0.0013+0.0004*wave(at, 41*time.Minute, h.number))
	plugins := []string{"keylime-nodeattestor"}
	if h.number == 0 {
		plugins = append(plugins, "keylime-server-nodeattestor")
	}
	for _, plugin := range plugins {
		path := "/opt/spire/plugins/" + plugin
		p.claim("attestation_spire_plugin_checksum_matches", plugin != "keylime-server-nodeattestor" || !f.broken("plugin", at), "plugin", plugin, "path", path)
		p.claim("attestation_spire_plugin_pinned", true, "plugin", plugin, "path", path)
	}
}

// condition is how the verifier sees an agent.
type condition struct {
	state   int
	success time.Time
	event   string
}

func (f Fleet) condition(h host, at time.Time) condition {
	c := condition{state: 3, success: f.until("verifier-locked", at)}
	for fault, worse := range map[string]condition{
		"quote":      {state: 9, event: "pcr_validation.invalid_pcr_7"},
		"agent-gone": {state: 7, event: "not_reachable"},
	} {
		if h.name == "auth" && f.broken(fault, at) {
			worse.success = f.Broken[fault]
			c = worse
		}
	}
	if !f.Answers(h.instance(), at) {
		c = condition{state: 7, success: f.Broken["host-gone"], event: "not_reachable"}
	}
	return c
}

// keylime is what verifier and registrar say.
func (f Fleet) keylime(p *page, at time.Time) {
	const verifier = "default"
	states := map[int]string{3: "get_quote", 7: "failed", 9: "invalid_quote", 10: "tenant_failed"}
	number := map[string]int{}
	p.claim("attestation_keylime_verifier_up", !f.broken("verifier-down", at), "verifier", verifier)
	p.claim("attestation_keylime_registrar_up", true)
	p.add("attestation_keylime_registrar_agents", float64(len(hosts())), "activated", "true")
	p.add("attestation_keylime_registrar_agents", 0, "activated", "false")
	p.add("attestation_keylime_registrar_agents", 0, "activated", "unknown")
	for _, h := range hosts() {
		p.add("attestation_keylime_agent_registered", 1, "agent", h.agent)
	}
	if f.broken("verifier-down", at) {
		return
	}
	p.moments("attestation_keylime_verifier_read_timestamp_seconds", at, "verifier", verifier)
	p.add("attestation_keylime_quote_interval_seconds", quoteInterval.Seconds(), "verifier", verifier)
	for _, h := range hosts() {
		c := f.condition(h, at)
		number[states[c.state]]++
		p.add("attestation_keylime_agent_info", 1, "agent", h.agent, "address", "192.0.2."+strconv.Itoa(10+h.number)+":9002", "verifier", verifier,
			"mode", "pull", "hash_alg", "sha256", "enc_alg", "rsa", "sign_alg", "rsassa", "runtime_policy", "tower", "measured_boot_policy", "")
		p.add("attestation_keylime_agent_operational_state", float64(c.state), "agent", h.agent)
		p.claim("attestation_keylime_agent_passing", c.state == 3, "agent", h.agent)
		taken := before(c.success, quoteInterval, time.Duration(h.number)*300*time.Millisecond)
		p.add("attestation_keylime_agent_attestations_total", float64(int(taken.Sub(h.booted(at))/(quoteInterval+60*time.Millisecond))), "agent", h.agent)
		p.moments("attestation_keylime_agent_last_quote_timestamp_seconds", taken, "agent", h.agent)
		p.moments("attestation_keylime_agent_last_success_timestamp_seconds", taken, "agent", h.agent)
		if c.event != "" {
			p.add("attestation_keylime_agent_failure_info", 1, "agent", h.agent, "event", c.event)
		}
	}
	for _, state := range states {
		p.add("attestation_keylime_agents", float64(number[state]), "verifier", verifier, "state", state)
	}
}

// spireServer is what the SPIRE server says.
func (f Fleet) spireServer(p *page, at time.Time) {
	p.claim("attestation_spire_server_up", !f.broken("spire-server", at), "trust_domain", TrustDomain)
	if f.broken("spire-server", at) {
		return
	}
	for _, h := range hosts() {
		p.add("attestation_spire_server_agent_info", 1, "spiffe_id", h.spiffeID(), "trust_domain", TrustDomain, "attestation_type", "keylime", "keylime_agent", h.agent)
		renewed := before(at, 30*time.Minute, time.Duration(h.number)*30*time.Minute/5+3*30*time.Minute/11)
		p.moments("attestation_spire_server_agent_svid_not_after_timestamp_seconds", renewed.Add(time.Hour), "spiffe_id", h.spiffeID())
		p.claim("attestation_spire_server_agent_banned", false, "spiffe_id", h.spiffeID())
		p.claim("attestation_spire_server_agent_can_reattest", true, "spiffe_id", h.spiffeID())
	}
	p.add("attestation_spire_server_agent_svid_lifetime_seconds", time.Hour.Seconds(), "trust_domain", TrustDomain)
	joined := 0.0
	if f.broken("join-token", at) {
		joined = 1
	}
	for how, n := range map[string]float64{"keylime": float64(len(hosts())), "join_token": joined} {
		p.add("attestation_spire_server_agents", n, "trust_domain", TrustDomain, "attestation_type", how)
		p.add("attestation_spire_server_agents_expired", 0, "trust_domain", TrustDomain, "attestation_type", how)
	}
	p.add("attestation_spire_server_entries", 14, "trust_domain", TrustDomain)
	newest := prepared(at)
	active := newest
	if at.Before(newest.Add(authorityLife / 3)) {
		active = newest.Add(-authorityPeriod) // With a sixth of its life left the next one takes over.
	}
	for _, kind := range []string{"x509", "jwt"} {
		labels := []string{"trust_domain", TrustDomain, "type", kind}
		p.moments("attestation_spire_server_authority_not_after_timestamp_seconds", active.Add(authorityLife), append(labels, "state", "active")...)
		if active != newest {
			p.moments("attestation_spire_server_authority_not_after_timestamp_seconds", newest.Add(authorityLife), append(labels, "state", "prepared")...)
		}
		p.add("attestation_spire_server_authority_lifetime_seconds", authorityLife.Seconds(), labels...)
		p.add("attestation_spire_server_tainted_authorities", 0, labels...)
	}
}
