package collector

import (
	"context"
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"funlab.casa/attestation_exporter/keylime"
)

var (
	keylimeLocalAgentUp = newDesc("keylime", "local_agent_up",
		"Whether this host's agent presents its TLS certificate; absent in push mode, where it doesn't listen.")
	keylimeLocalAgentInfo = newDesc("keylime", "local_agent_info",
		"The id of this host's agent, also while it is silent.", "agent")
)

type keylimeAgent struct {
	read func(context.Context) (keylime.LocalAgentReading, error)
}

// NewKeylimeAgent makes the collector of this host's agent.
func NewKeylimeAgent(read func(context.Context) (keylime.LocalAgentReading, error)) Collector {
	return &keylimeAgent{read: read}
}

func (c *keylimeAgent) Update(ctx context.Context, ch chan<- prometheus.Metric) error {
	reading, err := c.read(ctx)
	if errors.Is(err, keylime.ErrAbsent) {
		return fmt.Errorf("%w: %w", ErrNoData, err)
	}
	if reading.Address != "" {
		claim(ch, keylimeLocalAgentUp, reading.Up)
	}
	if reading.ID != "" {
		gauge(ch, keylimeLocalAgentInfo, 1, reading.ID)
	}
	if reading.Certificate != nil {
		sendCertificate(ch, "endpoint", reading.Address, *reading.Certificate)
	}
	return err
}
