package fleet

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"funlab.casa/attestation_exporter/internal/declared"
)

// TestSeriesAreTheExporters holds the imitation to what the collectors declare: each
// series has the name of a metric, and just its labels.
func TestSeriesAreTheExporters(t *testing.T) {
	exported, err := declared.Metrics("../../collector")
	if err != nil {
		t.Fatal(err)
	}
	for _, fault := range append(slices.Sorted(maps.Keys(Faults())), "none") {
		now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
		f := Fleet{Broken: map[string]time.Time{fault: now.Add(-time.Hour)}}
		for _, h := range hosts() {
			var p page
			f.describe(&p, h, now)
			for _, s := range p.series {
				want, is := exported[s.name]
				if !is {
					if strings.HasPrefix(s.name, "attestation_") && s.name != "attestation_exporter_build_info" {
						t.Errorf("%s: %s shows %s, which no collector exports", fault, h.name, s.name)
					}
					continue
				}
				if got := slices.Sorted(maps.Keys(s.labels)); !slices.Equal(got, slices.Sorted(slices.Values(want))) {
					t.Errorf("%s: %s: got the labels %v, want %v", fault, s.name, got, want)
				}
			}
		}
	}
}

// TestFaultsChangeSomething finds a fault that is a name only.
func TestFaultsChangeSomething(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	exposition := func(f Fleet) string {
		var text strings.Builder
		for _, instance := range Hosts() {
			if err := f.Write(&text, instance, now, true); err != nil {
				t.Fatal(err)
			}
		}
		lines := strings.Split(text.String(), "\n")
		slices.Sort(lines) // Maps have no order.
		return strings.Join(lines, "\n")
	}
	healthy := exposition(Fleet{})
	if again := exposition(Fleet{}); again != healthy {
		t.Error("one moment of one fleet has two expositions")
	}
	for fault := range Faults() {
		if exposition(Fleet{Broken: map[string]time.Time{fault: now.Add(-13 * time.Hour)}}) == healthy {
			t.Errorf("%s changes nothing", fault)
		}
	}
}
