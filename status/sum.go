package status

import (
	"fmt"
	"strings"
)

// A Sum is one layer of all hosts.
type Sum struct {
	Layer Layer
	State State
	Rows  []Row
	// Text says how many there are, and tells of the one that is next.
	Text string
}

// Sums are the layers that are there, from the ground up.
func (r Report) Sums() []Sum {
	var sums []Sum
	for _, layer := range Layers() {
		sum := Sum{Layer: layer}
		for _, row := range r.Rows {
			if row.Layer == layer {
				sum.Rows = append(sum.Rows, row)
				sum.State = worst(sum.State, row.State)
			}
		}
		if len(sum.Rows) == 0 {
			continue
		}
		sum.Text = sum.counts()
		if next := sum.next(r.Time); next != "" {
			sum.Text += "; " + next
		}
		sums = append(sums, sum)
	}
	return sums
}

func (s Sum) counts() string {
	counts := Report{Rows: s.Rows}.counts()
	var parts []string
	for _, state := range []State{Critical, Warning, Unknown, OK} {
		if counts[state] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", counts[state], state))
		}
	}
	return strings.Join(parts, ", ")
}

// next tells of the only thing that is there, the one that stands for all, or the
// one that ends or runs first.
func (s Sum) next(now float64) string {
	if len(s.Rows) == 1 {
		return tell(s.Rows[0])
	}
	var first Row
	for _, row := range s.Rows {
		if row.headline {
			return tell(row)
		}
		switch s.Layer {
		case Certificate, TrustBundle:
			if row.Remaining != nil && (first.Remaining == nil || *row.Remaining < *first.Remaining) {
				first = row
			}
		case Timer:
			if row.NextRun != nil && *row.NextRun > now && (first.NextRun == nil || *row.NextRun < *first.NextRun) {
				first = row
			}
		default:
		}
	}
	switch {
	case first.Remaining != nil:
		return "first to end: " + tell(first)
	case first.NextRun != nil:
		return "next: " + shorten(first.What, 44) + " in " + span(*first.NextRun-now)
	}
	return ""
}

// tell says of one thing what it is and how it is, in a line or two.
func tell(row Row) string { return shorten(row.What, 44) + ": " + row.Text }
