// Package status judges expositions of attestation_exporters as the rule pack would,
// and shows the verdicts on a terminal, as JSON and on a page. It has no memory: what
// the rules only see by looking back (what is gone, what has changed since) it
// doesn't see, and it doesn't wait before it calls something broken.
package status

import (
	"cmp"
	"slices"
)

// A Layer is a part of the chain of trust, by the name that the rules give it.
type Layer string

// The layers, each of which stands on those before it.
const (
	Monitoring  Layer = "monitoring"
	TPM         Layer = "tpm"
	Boot        Layer = "boot"
	Disk        Layer = "disk"
	Keylime     Layer = "keylime"
	SPIRE       Layer = "spire"
	TrustBundle Layer = "trust-bundle"
	Certificate Layer = "certificate"
	Timer       Layer = "timer"
)

// Layers returns the layers from the ground up.
func Layers() []Layer {
	return []Layer{Monitoring, TPM, Boot, Disk, Keylime, SPIRE, TrustBundle, Certificate, Timer}
}

// An Answer is what came of asking one exporter: samples or an error.
type Answer struct {
	Host, URL string
	Samples   Samples
	Err       error
	// Silent says of an error that nothing answered at all.
	Silent bool
}

// A Row is one thing that was looked at, with the verdict. A thing with two troubles
// has two rows.
type Row struct {
	Host  string `json:"host"`
	Layer Layer  `json:"layer"`
	// What is the thing: a path, a unit, an agent.
	What  string `json:"what"`
	State State  `json:"state"`
	// Alert is the rule that fires if this stays so; empty while nothing is wrong.
	Alert string `json:"alert,omitempty"`
	Text  string `json:"text"`
	// Remaining and LifeLeft are of what ends: seconds, and the share of its whole
	// life; negative when it has ended.
	Remaining *float64 `json:"remaining_seconds,omitempty"`
	LifeLeft  *float64 `json:"life_left_ratio,omitempty"`
	// Valid and Total count the authorities of a bundle.
	Valid *float64 `json:"valid,omitempty"`
	Total *float64 `json:"total,omitempty"`
	// NextRun is a timer's, in Unix time.
	NextRun *float64 `json:"next_run_timestamp_seconds,omitempty"`

	// headline marks a row that stands for its layer.
	headline bool
}

// A Host is one exporter that was asked.
type Host struct {
	Host  string `json:"host"`
	URL   string `json:"url,omitempty"`
	State State  `json:"state"`
	// Layers has the worst state of each layer that is there.
	Layers map[Layer]State `json:"layers"`
}

// A Report is the verdict on all hosts, worst first.
type Report struct {
	State State `json:"state"`
	// Time is when it was judged, in Unix time.
	Time  float64 `json:"timestamp_seconds"`
	Hosts []Host  `json:"hosts"`
	Rows  []Row   `json:"rows"`
}

// Judge makes a report of answers at a moment in Unix time.
func Judge(answers []Answer, now float64) Report {
	report := Report{Time: now, Hosts: []Host{}, Rows: []Row{}}
	fleet := newFleet(answers)
	for _, answer := range answers {
		report.Rows = append(report.Rows, view{host: answer.Host, answer: answer, samples: answer.Samples, now: now, fleet: fleet}.rows()...)
	}
	report.Rows = append(report.Rows, fleet.claimedTwice()...)
	slices.SortStableFunc(report.Rows, compareRows)
	for _, answer := range answers {
		report.Hosts = append(report.Hosts, hostOf(answer, report.Rows))
	}
	slices.SortStableFunc(report.Hosts, func(a, b Host) int { return byUrgency(a.State, b.State) })
	if len(answers) == 0 {
		report.State = Unknown
	}
	for _, host := range report.Hosts {
		report.State = worst(report.State, host.State)
	}
	return report
}

func hostOf(answer Answer, rows []Row) Host {
	host := Host{Host: answer.Host, URL: answer.URL, Layers: map[Layer]State{}}
	for _, row := range rows {
		if row.Host != answer.Host {
			continue
		}
		host.Layers[row.Layer] = worst(host.Layers[row.Layer], row.State)
		host.State = worst(host.State, row.State)
	}
	return host
}

// compareRows puts what needs a person first, and of two troubles the one that
// lies deeper: it may be the cause of the other.
func compareRows(a, b Row) int {
	return cmp.Or(
		byUrgency(a.State, b.State),
		-compareBool(alert(a.Alert).loud(), alert(b.Alert).loud()),
		cmp.Compare(slices.Index(Layers(), a.Layer), slices.Index(Layers(), b.Layer)),
		cmp.Compare(a.Host, b.Host),
		compareRemaining(a.Remaining, b.Remaining),
		cmp.Compare(a.What, b.What),
	)
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// compareRemaining puts what ends first first, and what doesn't end last.
func compareRemaining(a, b *float64) int {
	if a == nil || b == nil {
		return compareBool(a == nil, b == nil)
	}
	return cmp.Compare(*a, *b)
}
