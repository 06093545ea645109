package status

import (
	"fmt"
	"strings"
)

// What the rules say of an agent's last sync, and of the shares of life at which an
// SVID and an authority should have been replaced.
const (
	syncSeconds      = 300
	svidShare        = 1.0 / 5
	authorityShare   = 1.0 / 8
	authoritySeconds = 6 * day
	unwantedType     = "join_token"
)

// spireAgent is about this host's own agent. That it serves is no evidence: it does
// so without its server until its own SVID ends.
func (v view) spireAgent() []Row {
	up, ok := v.samples.value("attestation_spire_agent_up")
	if up == 0 && (ok || v.failed("spire-agent")) {
		return []Row{v.wrong(spireAgentDown, SPIRE, "SPIRE agent", "isn't serving%s", v.reason("spire-agent"))}
	}
	if !ok {
		return nil
	}
	sync, ok := v.samples.value("attestation_spire_agent_last_sync_timestamp_seconds")
	switch {
	case !ok:
		return []Row{v.fine(SPIRE, "SPIRE agent", "serves; its last sync can't be seen")}
	case v.now-sync > syncSeconds:
		return []Row{v.wrong(spireAgentNotSyncing, SPIRE, "SPIRE agent", "last reached its server %s ago; it exits when its own SVID ends", span(v.now-sync))}
	}
	return []Row{v.fine(SPIRE, "SPIRE agent", "serves; last reached its server %s ago", span(max(v.now-sync, 0)))}
}

// spireServer is about the server on this host.
func (v view) spireServer() []Row {
	ups := v.samples["attestation_spire_server_up"]
	if len(ups) == 0 && v.failed("spire-server") {
		return []Row{v.wrong(spireServerDown, SPIRE, "SPIRE server", "can't be read%s", v.reason("spire-server"))}
	}
	var rows []Row
	for _, up := range ups {
		domain := up.label("trust_domain")
		what := "SPIRE server of " + domain
		switch {
		case up.value == 1:
			rows = append(rows, v.fine(SPIRE, what, "serves%s", v.population(domain)).standing())
		case v.fleet.serving[domain]:
			rows = append(rows, v.wrong(spireServerOneDown, SPIRE, what, "doesn't answer; another one does"))
		default:
			rows = append(rows, v.wrong(spireServerDown, SPIRE, what, "doesn't answer%s", v.reason("spire-server")))
		}
	}
	for _, live := range v.samples.only("attestation_spire_server_agents", "attestation_type", unwantedType) {
		if live.value > 0 {
			rows = append(rows, v.wrong(spireUnwanted, SPIRE, "SPIRE server of "+live.label("trust_domain"),
				"%s attested by %s", counted(live.value, "live agent was", "live agents were"), unwantedType))
		}
	}
	return rows
}

func (v view) population(domain string) string {
	agents := 0.0
	for _, live := range v.samples.only("attestation_spire_server_agents", "trust_domain", domain) {
		agents += live.value
	}
	facts := []string{"; " + counted(agents, "live agent", "live agents")}
	if entries, ok := v.samples.value("attestation_spire_server_entries", "trust_domain", domain); ok {
		facts = append(facts, counted(entries, "entry", "entries"))
	}
	return strings.Join(facts, ", ")
}

// spireAgents are the agents that the server has attested.
func (v view) spireAgents() []Row {
	ends := v.samples.by("spiffe_id", "attestation_spire_server_agent_svid_not_after_timestamp_seconds")
	banned := v.samples.by("spiffe_id", "attestation_spire_server_agent_banned")
	renewable := v.samples.by("spiffe_id", "attestation_spire_server_agent_can_reattest")
	lifetimes := v.samples.by("trust_domain", "attestation_spire_server_agent_svid_lifetime_seconds")
	var rows []Row
	for _, info := range v.samples["attestation_spire_server_agent_info"] {
		id := info.label("spiffe_id")
		end, ok := ends[id]
		if !ok || banned[id] == 1 {
			continue
		}
		rows = append(rows, v.svid(info, end-v.now, lifetimes[info.label("trust_domain")], renewable[id] == 1))
	}
	return rows
}

func (v view) svid(info sample, remaining, lifetime float64, renewable bool) Row {
	id, keylime := info.label("spiffe_id"), info.label("keylime_agent")
	verdict, condemned := v.fleet.condemned[keylime]
	row := v.fine(SPIRE, id, "SVID: %s", left(remaining))
	switch {
	case remaining >= 0 && keylime != "" && condemned:
		row = v.wrong(spireTrustsFailedAgent, SPIRE, id, "has a valid SVID although Keylime %s it: %s", verdict, left(remaining))
	case remaining < 0 && renewable:
		row = v.wrong(spireAgentExpired, SPIRE, id, "SVID %s", left(remaining))
	case remaining >= 0 && remaining < lifetime*svidShare:
		row = v.wrong(spireAgentNotRenewing, SPIRE, id, "SVID isn't renewed: %s of %s", left(remaining), span(lifetime))
	}
	return row.ending(remaining, lifetime).at(v.fleet.hostOfSPIFFE[id])
}

// spireAuthorities are the keys that the server signs with.
func (v view) spireAuthorities() []Row {
	var rows []Row
	for _, end := range v.samples.only("attestation_spire_server_authority_not_after_timestamp_seconds", "state", "active") {
		domain, kind := end.label("trust_domain"), end.label("type")
		lifetime, ok := v.samples.value("attestation_spire_server_authority_lifetime_seconds", "trust_domain", domain, "type", kind)
		remaining := end.value - v.now
		what := fmt.Sprintf("%s authority of %s", kind, domain)
		row := v.fine(SPIRE, what, "signs; %s", left(remaining))
		if ok && remaining < min(lifetime*authorityShare, authoritySeconds) {
			row = v.wrong(spireNotRotated, SPIRE, what, "wasn't replaced in time: %s", left(remaining))
		}
		rows = append(rows, row.ending(remaining, lifetime))
	}
	return rows
}

// spirePlugins are external programs that SPIRE starts only if they are what its
// configuration pins.
func (v view) spirePlugins() []Row {
	var rows []Row
	matching := 0.0
	for _, plugin := range v.samples["attestation_spire_plugin_checksum_matches"] {
		if plugin.value == 1 {
			matching++
			continue
		}
		rows = append(rows, v.wrong(spirePluginMismatch, SPIRE, "plugin "+plugin.label("plugin"), "%s isn't the pinned one: SPIRE won't start again", plugin.label("path")))
	}
	for _, plugin := range v.samples.only("attestation_spire_plugin_load_failed", "reason", "not_found") {
		rows = append(rows, v.wrong(spirePluginMismatch, SPIRE, "plugin "+plugin.label("plugin"), "%s isn't there: SPIRE won't start again", plugin.label("path")))
	}
	if len(rows) == 0 && matching > 0 {
		rows = append(rows, v.fine(SPIRE, "plugins", "%s as pinned", counted(matching, "plugin is", "plugins are")))
	}
	return rows
}
