package collector

import (
	"context"
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"funlab.casa/attestation_exporter/spire"
)

var (
	spireServerUp = newDesc("spire_server", "up",
		"Whether the SPIRE server says that it is serving.", "trust_domain")
	spireServerAgentInfo = newDesc("spire_server", "agent_info",
		"An attested agent whose SVID didn't end more than a week ago.",
		"spiffe_id", "trust_domain", "attestation_type", "keylime_agent")
	spireServerAgentNotAfter = newDesc("spire_server", "agent_svid_not_after_timestamp_seconds",
		"End of the SVID that the agent last used; a renewed one shows once the agent has used it.", "spiffe_id")
	spireServerAgentLifetime = newDesc("spire_server", "agent_svid_lifetime_seconds",
		"Whole lifetime that the server gives to agents' SVIDs, unless its authority ends first.", "trust_domain")
	spireServerAgentBanned = newDesc("spire_server", "agent_banned",
		"Whether the agent is banned.", "spiffe_id")
	spireServerAgentCanReattest = newDesc("spire_server", "agent_can_reattest",
		"Whether the agent may attest again; 0 means that nobody can renew its SVID once that has ended.", "spiffe_id")
	spireServerAgents = newDesc("spire_server", "agents",
		"Attested agents that are neither expired nor banned.", "trust_domain", "attestation_type")
	spireServerAgentsExpired = newDesc("spire_server", "agents_expired",
		"Attested agents whose SVID has ended, however long ago, and that aren't banned.", "trust_domain", "attestation_type")
	spireServerEntries = newDesc("spire_server", "entries",
		"Registration entries.", "trust_domain")
	spireServerAuthorityNotAfter = newDesc("spire_server", "authority_not_after_timestamp_seconds",
		"End of the server's own authority, by what it is used for and whether it signs now, is going to, or did.",
		"trust_domain", "type", "state")
	spireServerAuthorityLifetime = newDesc("spire_server", "authority_lifetime_seconds",
		"Whole lifetime that the server gives to its authorities, unless one above it ends first.", "trust_domain", "type")
	spireServerTainted = newDesc("spire_server", "tainted_authorities",
		"Authorities in the server's bundle that are tainted and not yet revoked.", "trust_domain", "type")
)

// kindSVID is the kind of an identity's certificate other than an agent's.
const kindSVID = "svid"

type spireServerCollector struct {
	read func(context.Context) (spire.ServerReading, error)
}

// NewSPIREServer returns the collector of this host's SPIRE server.
func NewSPIREServer(read func(context.Context) (spire.ServerReading, error)) Collector {
	return spireServerCollector{read: read}
}

func (c spireServerCollector) Update(ctx context.Context, ch chan<- prometheus.Metric) error {
	reading, err := c.read(ctx)
	if errors.Is(err, spire.ErrAbsent) {
		return spireError("read the SPIRE server", err)
	}
	claim(ch, spireServerUp, reading.Up, reading.TrustDomain)
	sendSPIREAuthorities(ch, reading)
	sendSPIREAgents(ch, reading)
	if reading.Entries != nil {
		gauge(ch, spireServerEntries, float64(*reading.Entries), reading.TrustDomain)
	}
	if reading.SVID != nil {
		sendCertificate(ch, kindSVID, reading.SVIDID, *reading.SVID)
	}
	return spireError("read the SPIRE server", err)
}

// sendSPIREAuthorities sends nothing about authorities of which nothing was read.
func sendSPIREAuthorities(ch chan<- prometheus.Metric, reading spire.ServerReading) {
	kinds := map[string]bool{}
	for _, authority := range reading.Authorities {
		kinds[authority.Type] = true
		moment(ch, spireServerAuthorityNotAfter, authority.NotAfter, reading.TrustDomain, authority.Type, authority.State)
	}
	for kind := range kinds {
		gauge(ch, spireServerAuthorityLifetime, reading.AuthorityLifetime.Seconds(), reading.TrustDomain, kind)
	}
	if reading.Bundle.TrustDomain == "" {
		return
	}
	tainted := 0
	for _, authority := range reading.Bundle.Authorities {
		if authority.Tainted {
			tainted++
		}
	}
	gauge(ch, spireServerTainted, float64(tainted), reading.TrustDomain, "x509")
	gauge(ch, spireServerTainted, float64(reading.TaintedJWT), reading.TrustDomain, "jwt")
}

func sendSPIREAgents(ch chan<- prometheus.Metric, reading spire.ServerReading) {
	if reading.AgentLifetime > 0 {
		gauge(ch, spireServerAgentLifetime, reading.AgentLifetime.Seconds(), reading.TrustDomain)
	}
	for _, count := range reading.Counts {
		gauge(ch, spireServerAgents, float64(count.Live), reading.TrustDomain, count.AttestationType)
		gauge(ch, spireServerAgentsExpired, float64(count.Expired), reading.TrustDomain, count.AttestationType)
	}
	for _, agent := range reading.Agents {
		gauge(ch, spireServerAgentInfo, 1, agent.ID, agent.TrustDomain, agent.AttestationType, agent.KeylimeAgent)
		moment(ch, spireServerAgentNotAfter, agent.NotAfter, agent.ID)
		claim(ch, spireServerAgentBanned, agent.Banned, agent.ID)
		claim(ch, spireServerAgentCanReattest, agent.CanReattest, agent.ID)
	}
}
