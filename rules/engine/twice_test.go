package engine_test

import (
	"slices"
	"testing"
	"time"
)

// TestSeenTwice has everything seen twice, by two Prometheis whose series are
// judged together, or by two servers on one datastore. A fault is then told of as
// often as if it were seen once, and no rule fails for series that match twice.
func TestSeenTwice(t *testing.T) {
	t.Parallel()
	inhibitions := loadInhibitions(t)
	agents := []string{
		"host gone", "quote invalid", "attestation stopped on request", "agent killed", "one id on two hosts",
		"join token used", "PCR 7 extended at run time", "TPM wedged",
	}
	tests := []struct {
		name   string
		set    func(*simulation)
		faults []string
	}{
		{"two Prometheis", func(s *simulation) {
			for _, one := range slices.Clone(s.targets) {
				s.watch(one.job, one.shows, one.before-time.Second, "replica", "b")
			}
		}, append(slices.Clone(agents), "verifier down", "verifier's database locked", "registrar down", "SPIRE server stopped", "plugin rebuilt", "chain without its intermediate")},
		{"two servers on one datastore", func(s *simulation) { s.fleet.CA.Standby = true }, append(agents, "one of two SPIRE servers stopped")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := simulate(t, seed+2)
			tt.set(s)
			s.run(t, 15*time.Minute)
			for _, f := range faults() {
				if slices.Contains(tt.faults, f.name) {
					s.suffer(t, f, inhibitions)
				}
			}
			t.Logf("%d evaluations", s.evaluations)
		})
	}
}
