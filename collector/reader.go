package collector

import (
	"context"
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"funlab.casa/attestation_exporter/reader"
)

type readerCollector struct {
	greet func(context.Context) error
}

// NewReader returns the collector of the privileged reader. It has no series of its
// own: its success says whether the reader answers, which is the one cause of all
// the failures that follow when it doesn't.
func NewReader(greet func(context.Context) error) Collector {
	return readerCollector{greet: greet}
}

func (c readerCollector) Update(ctx context.Context, _ chan<- prometheus.Metric) error {
	err := c.greet(ctx)
	if errors.Is(err, reader.ErrAbsent) {
		return fmt.Errorf("%w: %w", ErrNoData, err)
	}
	return err
}
