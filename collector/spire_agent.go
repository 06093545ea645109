package collector

import (
	"context"
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"funlab.casa/attestation_exporter/spire"
)

var (
	spireAgentUp = newDesc("spire_agent", "up",
		"Whether this host's SPIRE agent says that it is serving, which it also does when it has lost its server.")
	spireAgentInfo = newDesc("spire_agent", "info",
		"The SPIFFE ID of this host's SPIRE agent and what its parts say.",
		"spiffe_id", "trust_domain", "attestation_type", "keylime_agent")
	spireAgentSyncVisible = newDesc("spire_agent", "sync_visible",
		"Whether the agent's debug API tells of its last sync; 0 means that an outage of the server can't be seen from this host.")
	spireAgentLastSync = newDesc("spire_agent", "last_sync_timestamp_seconds",
		"When this host's SPIRE agent last synchronised with its server.")
	spireWorkloadAPIDuration = newDesc("spire", "workload_api_duration_seconds",
		"How long the Workload API took to hand out its trust bundles.")
)

// kindAgentSVID is the kind of the agent's own certificate.
const kindAgentSVID = "agent_svid"

type spireAgentCollector struct {
	read func(context.Context) (spire.AgentReading, error)
}

// NewSPIREAgent returns the collector of this host's SPIRE agent.
func NewSPIREAgent(read func(context.Context) (spire.AgentReading, error)) Collector {
	return spireAgentCollector{read: read}
}

func (c spireAgentCollector) Update(ctx context.Context, ch chan<- prometheus.Metric) error {
	reading, err := c.read(ctx)
	if errors.Is(err, spire.ErrAbsent) {
		return spireError("read the SPIRE agent", err)
	}
	claim(ch, spireAgentUp, reading.Up)
	claim(ch, spireAgentSyncVisible, reading.SyncVisible)
	moment(ch, spireAgentLastSync, reading.LastSync)
	if reading.WorkloadAPI > 0 {
		gauge(ch, spireWorkloadAPIDuration, reading.WorkloadAPI.Seconds())
	}
	if id := reading.Identity; id != nil {
		gauge(ch, spireAgentInfo, 1, id.ID, id.TrustDomain, id.AttestationType, id.KeylimeAgent)
		if reading.SVID != nil {
			sendCertificate(ch, kindAgentSVID, id.ID, *reading.SVID)
		}
	}
	return spireError("read the SPIRE agent", err)
}

// spireError turns the source's word for a host without that part of SPIRE into the
// collector's.
func spireError(doing string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, spire.ErrAbsent):
		return fmt.Errorf("%s: %w", doing, ErrNoData)
	}
	return fmt.Errorf("%s: %w", doing, err)
}
