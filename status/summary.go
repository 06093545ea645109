package status

import (
	"fmt"
	"math"
	"strings"
)

// Summary is the line that a monitoring system shows: how bad, how many, and the
// first of what needs a person.
func (r Report) Summary() string {
	summary := fmt.Sprintf("ATTESTATION %s: %s", r.State, r.verdict())
	if len(r.Rows) > 0 && r.Rows[0].State != OK {
		first := r.Rows[0]
		summary += fmt.Sprintf("; %s: %s: %s", first.Host, first.What, first.Text)
	}
	return summary
}

// verdict counts what needs a person.
func (r Report) verdict() string {
	counts := r.counts()
	var parts []string
	for _, state := range []State{Critical, Warning, Unknown} {
		if counts[state] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", counts[state], strings.ToLower(state.String())))
		}
	}
	hosts := counted(float64(len(r.Hosts)), "host", "hosts")
	if len(parts) == 0 {
		return fmt.Sprintf("%s, %s looked at, all well", hosts, counted(float64(len(r.Rows)), "thing", "things"))
	}
	return strings.Join(parts, ", ") + " on " + hosts
}

// PerformanceData are the numbers that a monitoring system may draw, in the form of
// the monitoring plugins' guidelines.
func (r Report) PerformanceData() string {
	counts := r.counts()
	data := []string{
		fmt.Sprintf("hosts=%d;;;0", len(r.Hosts)),
		fmt.Sprintf("critical=%d;;;0", counts[Critical]),
		fmt.Sprintf("warning=%d;;;0", counts[Warning]),
		fmt.Sprintf("unknown=%d;;;0", counts[Unknown]),
	}
	for _, ending := range []struct {
		label string
		layer Layer
	}{{"first_certificate_end", Certificate}, {"first_bundle_end", TrustBundle}} {
		if remaining, ok := r.firstEnd(ending.layer); ok {
			data = append(data, fmt.Sprintf("%s=%.0fs", ending.label, remaining))
		}
	}
	return strings.Join(data, " ")
}

func (r Report) counts() map[State]int {
	counts := map[State]int{}
	for _, row := range r.Rows {
		counts[row.State]++
	}
	return counts
}

// firstEnd is how long the first of a layer's things that end has left.
func (r Report) firstEnd(layer Layer) (float64, bool) {
	first := math.Inf(1)
	for _, row := range r.Rows {
		if row.Layer == layer && row.Remaining != nil {
			first = min(first, *row.Remaining)
		}
	}
	return first, !math.IsInf(first, 1)
}
