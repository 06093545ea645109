// Package fleet makes up what the exporters of a small deployment export at any
// moment: three hosts with all layers, healthy or with faults. Pictures of dashboards
// are drawn from it, and queries are tried against it, where the miniature Tower is
// one host and has no past.
//
// It imitates series, not programs: what is real about them is their names, their
// labels and how they move.
package fleet

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// TrustDomain is the deployment's.
const TrustDomain = "funlab.casa"

// A Fleet is healthy but for its faults.
type Fleet struct {
	// Broken is since when each fault is there.
	Broken map[string]time.Time
}

// Hosts returns the instances that a Prometheus scrapes.
func Hosts() []string {
	var all []string
	for _, h := range hosts() {
		all = append(all, h.instance())
	}
	return all
}

// Faults returns what each fault that a Fleet knows is, by name.
func Faults() map[string]string {
	return map[string]string{
		"agent-gone":      "auth's Keylime agent ends, and the verifier gives it up",
		"bundle-timer":    "auth's timer that refreshes the trust bundle is stopped",
		"chain":           "ca's agent.crt is without its intermediate",
		"half-written":    "spire's registrar.crt is half written",
		"host-gone":       "ca doesn't answer",
		"join-token":      "an agent attested to SPIRE by join token",
		"kernel":          "a new kernel lies in spire's boot partition",
		"pcr7":            "somebody extends spire's PCR 7",
		"plugin":          "a plugin of spire's SPIRE server was rebuilt",
		"quote":           "Keylime refuses auth's quote",
		"renewal":         "the renewal of ca's Keylime certificate fails",
		"spire-server":    "the SPIRE server is down",
		"tpm-wedged":      "auth's TPM answers nothing",
		"verifier-down":   "Keylime's verifier doesn't answer",
		"verifier-locked": "Keylime's verifier attests nobody, and says PASS",
	}
}

// broken says whether a fault is there at a moment.
func (f Fleet) broken(fault string, at time.Time) bool {
	since, is := f.Broken[fault]
	return is && !at.Before(since)
}

// until is the moment, or that of the fault when it was there earlier: the time that
// has stood still for what the fault stops.
func (f Fleet) until(fault string, at time.Time) time.Time {
	if f.broken(fault, at) {
		return f.Broken[fault]
	}
	return at
}

// Answers says whether the exporter of an instance answers at a moment.
func (f Fleet) Answers(instance string, at time.Time) bool {
	return !strings.HasPrefix(instance, "ca.") || !f.broken("host-gone", at)
}

// Write writes the exposition of an instance at a moment. With history, each series
// carries that moment and the labels that a scrape would give it, which is
// OpenMetrics for promtool to make blocks of.
func (f Fleet) Write(out io.Writer, instance string, at time.Time, history bool) error {
	i := slices.IndexFunc(hosts(), func(h host) bool { return h.instance() == instance })
	if i < 0 {
		return fmt.Errorf("no host %q", instance)
	}
	var p page
	if f.Answers(instance, at) {
		f.describe(&p, hosts()[i], at)
	}
	if history {
		p.scraped(f.Answers(instance, at))
		p.target = map[string]string{"job": "attestation_exporter", "instance": instance}
		p.moment = fmt.Sprintf(" %d", at.Unix())
	}
	_, err := io.WriteString(out, p.String())
	return err
}

// A page is an exposition in the making.
type page struct {
	series []series
	target map[string]string
	moment string
}

type series struct {
	name   string
	labels map[string]string
	value  float64
}

// add adds a series with labels given as name and value in turn.
func (p *page) add(name string, value float64, labels ...string) {
	s := series{name: name, labels: map[string]string{}, value: value}
	for pair := range slices.Chunk(labels, 2) {
		s.labels[pair[0]] = pair[1]
	}
	p.series = append(p.series, s)
}

// claim adds a series that is 1 or 0.
func (p *page) claim(name string, holds bool, labels ...string) {
	value := 0.0
	if holds {
		value = 1
	}
	p.add(name, value, labels...)
}

// moments adds a series whose value is a time.
func (p *page) moments(name string, at time.Time, labels ...string) {
	p.add(name, float64(at.UnixMilli())/1000, labels...)
}

// scraped adds what Prometheus itself says about a scrape.
func (p *page) scraped(answered bool) {
	samples := len(p.series)
	p.claim("up", answered)
	p.add("scrape_samples_scraped", float64(samples))
	p.add("scrape_duration_seconds", 0.004+float64(samples)*2e-5)
}

func (p *page) String() string {
	var text strings.Builder
	for _, s := range p.series {
		labels := maps.Clone(s.labels)
		maps.Copy(labels, p.target)
		text.WriteString(s.name)
		separator := "{"
		for _, name := range slices.Sorted(maps.Keys(labels)) {
			text.WriteString(separator + name + "=" + strconv.Quote(labels[name]))
			separator = ","
		}
		if len(labels) > 0 {
			text.WriteString("}")
		}
		text.WriteString(" " + strconv.FormatFloat(s.value, 'g', -1, 64) + p.moment + "\n")
	}
	return text.String()
}

// before is the last moment, at or before at, of something that happens once a
// period, first at offset after the epoch.
func before(at time.Time, period, offset time.Duration) time.Time {
	since := at.Add(-offset).UnixNano() % int64(period)
	return at.Add(-time.Duration(since))
}

// wave swings between -1 and 1, differently for each seed: triangles are enough.
func wave(at time.Time, period time.Duration, seed int) float64 {
	phase := float64((at.UnixNano()+int64(seed)*int64(period)/7)%int64(period)) / float64(period)
	if phase < 0.5 {
		return 4*phase - 1
	}
	return 3 - 4*phase
}
