package collector

import (
	"context"
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"funlab.casa/attestation_exporter/keylime"
)

var (
	keylimeRegistrarUp = newDesc("keylime", "registrar_up",
		"Whether the registrar answered with its list.")
	keylimeRegistrarAgents = newDesc("keylime", "registrar_agents",
		"Agents in the registrar's list by whether they are activated; unknown ones weren't asked about yet.", "activated")
	keylimeAgentRegistered = newDesc("keylime", "agent_registered",
		"An agent that is registered and activated; those that aren't activated have no series, since anybody may register.", "agent")
)

type keylimeRegistrar struct {
	read func(context.Context) (keylime.RegistrarReading, error)
}

// NewKeylimeRegistrar makes the collector of a registrar.
func NewKeylimeRegistrar(read func(context.Context) (keylime.RegistrarReading, error)) Collector {
	return &keylimeRegistrar{read: read}
}

func (c *keylimeRegistrar) Update(ctx context.Context, ch chan<- prometheus.Metric) error {
	reading, err := c.read(ctx)
	if errors.Is(err, keylime.ErrAbsent) {
		return fmt.Errorf("%w: %w", ErrNoData, err)
	}
	claim(ch, keylimeRegistrarUp, reading.Up)
	if !reading.Up {
		return err
	}
	gauge(ch, keylimeRegistrarAgents, float64(reading.ActivatedAgents), "true")
	gauge(ch, keylimeRegistrarAgents, float64(reading.OtherAgents), "false")
	gauge(ch, keylimeRegistrarAgents, float64(reading.UnknownAgents), "unknown")
	for _, agent := range reading.Activated {
		gauge(ch, keylimeAgentRegistered, 1, agent)
	}
	return err
}
