package fleet

import "time"

// bundleEndpoint is served by the SPIRE server itself, with a certificate of its own.
const bundleEndpoint = "spire.funlab.casa:8443"

func (h *Host) spiffeID() string { return agentID(h.AgentID) }

func agentID(keylimeAgent string) string {
	return "spiffe://" + TrustDomain + "/spire/agent/keylime/" + keylimeAgent
}

// serves is whether the SPIRE agent runs. It exits when its own SVID ends.
func (h *Host) serves(now time.Time) bool {
	return !h.SPIREAgentDown && !h.Banned && now.Before(h.svid.Until)
}

// reachesServer is whether the SPIRE agent, and the update of the bundle, find the
// server.
func (h *Host) reachesServer(now time.Time) bool { return !h.CutOff && h.fleet.Server.serving(now) }

func (h *Host) refreshBundle(at time.Time) {
	if h.reachesServer(at) {
		h.Bundle.refresh(h.fleet.Server, at)
	}
}

// bootstraps is whether the SPIRE agent gets or keeps an identity: one that has
// exited finds the server by the copy of the bundle only.
func (h *Host) bootstraps(now time.Time) bool {
	return !h.SPIREAgentDown && !h.Banned && h.reachesServer(now) && (h.serves(now) || now.Before(h.Bundle.Ends()))
}

func (h *Host) stepSPIRE(now time.Time) {
	renews := h.bootstraps(now)
	if renews {
		h.lastSync = now.Add(-h.fleet.between(0, 5*time.Second))
		h.cached.refresh(h.fleet.Server, now)
	}
	for _, c := range h.Certificates {
		switch {
		case c.Name == bundleEndpoint:
			c.Silent = !h.fleet.Server.serving(now)
		case c.Kind == "agent_svid", c.Kind == "svid":
			if !renews {
				continue
			}
		}
		c.step(h.fleet, now)
	}
}

func (h *Host) exposeSPIREAgent(to Exposition, now time.Time) {
	serves := h.serves(now)
	to.Set(truth(serves), "attestation_spire_agent_up")
	to.Set(truth(serves), "attestation_spire_agent_sync_visible")
	// What the agent's data don't tell ends with the agent.
	if serves || !h.svid.undated {
		to.Set(1, "attestation_spire_agent_info", "spiffe_id", h.spiffeID(), "trust_domain", TrustDomain, "attestation_type", "keylime", "keylime_agent", h.AgentID)
		h.svid.expose(to, now)
	}
	if serves && !h.lastSync.IsZero() {
		to.Set(h.stamp(h.lastSync), "attestation_spire_agent_last_sync_timestamp_seconds")
	}
}

func (h *Host) exposePlugins(to Exposition) {
	const plugin, path = "keylime", "/opt/spire/plugins/keylime"
	to.Set(truth(!h.PluginRebuilt), "attestation_spire_plugin_checksum_matches", "plugin", plugin, "path", path)
	to.Set(1, "attestation_spire_plugin_pinned", "plugin", plugin, "path", path)
}
