package collector

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"funlab.casa/attestation_exporter/docs/example/lockdown"
)

// What follows is CONTRIBUTING.md's worked example. A collector of the exporter
// stands in a file of its own, without the test.

var lockdownInfo = newDesc("lockdown", "info",
	"The mode in which the kernel is locked down.", "mode")

type lockdownCollector struct {
	read func(context.Context) (lockdown.Reading, error)
}

// NewLockdown returns the collector of the kernel's lockdown.
func NewLockdown(read func(context.Context) (lockdown.Reading, error)) Collector {
	return lockdownCollector{read: read}
}

func (c lockdownCollector) Update(ctx context.Context, ch chan<- prometheus.Metric) error {
	reading, err := c.read(ctx)
	if errors.Is(err, lockdown.ErrAbsent) {
		return fmt.Errorf("read the lockdown: %w", ErrNoData)
	}
	if err != nil {
		return fmt.Errorf("read the lockdown: %w", err)
	}
	gauge(ch, lockdownInfo, 1, reading.Mode)
	return nil
}

func TestLockdown(t *testing.T) {
	tests := []struct {
		name    string
		reading lockdown.Reading
		err     error
		want    string
		wantErr error
	}{
		{"healthy", lockdown.Reading{Mode: "integrity"}, nil, `
			# HELP attestation_lockdown_info The mode in which the kernel is locked down.
			# TYPE attestation_lockdown_info gauge
			attestation_lockdown_info{mode="integrity"} 1
		`, nil},
		{"absent", lockdown.Reading{}, lockdown.ErrAbsent, "", ErrNoData},
		{"too slow", lockdown.Reading{}, context.DeadlineExceeded, "", context.DeadlineExceeded},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			scrape := &certificateScrape{Collector: NewLockdown(func(context.Context) (lockdown.Reading, error) { return tt.reading, tt.err })}
			if err := testutil.CollectAndCompare(scrape, strings.NewReader(tt.want)); err != nil {
				t.Error(err)
			}
			if !errors.Is(scrape.err, tt.wantErr) {
				t.Errorf("got error %v, want %v", scrape.err, tt.wantErr)
			}
		})
	}
}
