package engine_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"funlab.casa/attestation_exporter/rules/engine/fleet"
)

// shown collects the labels of each metric that a fleet shows.
type shown map[string][]string

func (s shown) Set(_ float64, name string, pairs ...string) {
	var labels []string
	for i := 0; i < len(pairs); i += 2 {
		labels = append(labels, pairs[i])
	}
	slices.Sort(labels)
	s[name] = labels
}

// TestFleetShowsWhatTheExporterDoes holds the model against the reference that is
// made from the exporter's code: a metric under another name, or without one of
// its labels, would leave a rule with nothing to judge.
func TestFleetShowsWhatTheExporterDoes(t *testing.T) {
	reference, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{}
	row := regexp.MustCompile("(?m)^\\| `(\\w+)` \\| \\w+ \\| ([^|]*) \\|")
	for _, match := range row.FindAllStringSubmatch(string(reference), -1) {
		labels := strings.FieldsFunc(match[2], func(r rune) bool { return r == ',' || r == ' ' })
		slices.Sort(labels)
		want[match[1]] = labels
	}
	got := shown{}
	for _, broken := range append([]fault{{breaks: func(*simulation, *fleet.Host) {}}}, faults()...) {
		f, err := fleet.New(seed, begin())
		if err != nil {
			t.Fatal(err)
		}
		s := &simulation{fleet: f, now: begin()}
		host := f.Auth
		if broken.on != nil {
			host = broken.on(f)
		}
		broken.breaks(s, host)
		for range 10 {
			s.now = s.now.Add(interval)
			f.Step(s.now)
			for _, host := range f.Hosts() {
				host.Expose(got, s.now)
			}
		}
	}
	for name, labels := range got {
		if known, ok := want[name]; !ok || !slices.Equal(labels, known) {
			t.Errorf("%s: got labels %q, want %q, as docs/metrics.md has it (there: %t)", name, labels, known, ok)
		}
	}
	for name := range readByRules(t) {
		if _, ok := got[name]; !ok && want[name] != nil && !slices.Contains(notShown(), name) {
			t.Errorf("%s: no fleet shows what a rule reads", name)
		}
	}
}

// notShown are metrics that rules read and of which no host of this fleet has
// anything to show.
func notShown() []string {
	return []string{
		"attestation_scrape_failures_total",                    // For the reason in a text only.
		"attestation_spire_plugin_load_failed",                 // The plugin is there.
		"attestation_keylime_max_attestation_interval_seconds", // Every agent is in pull mode.
	}
}

func readByRules(t *testing.T) map[string]bool {
	t.Helper()
	files, err := os.ReadDir(pack)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	metric := regexp.MustCompile(`\battestation_\w+`)
	for _, file := range files {
		if !strings.HasSuffix(file.Name(), ".rules.yml") {
			continue
		}
		content, err := os.ReadFile(pack + "/" + file.Name())
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range metric.FindAllString(string(content), -1) {
			names[name] = true
		}
	}
	return names
}

// TestSameSeedSameFleet is what makes a failure of a year repeatable.
func TestSameSeedSameFleet(t *testing.T) {
	values := func() []float64 {
		f, err := fleet.New(seed, begin())
		if err != nil {
			t.Fatal(err)
		}
		var all recorded
		for now := begin(); now.Before(begin().AddDate(0, 0, 3)); now = now.Add(10 * time.Minute) {
			f.Step(now)
			for _, host := range f.Hosts() {
				host.Expose(&all, now)
			}
		}
		return all
	}
	if first, second := values(), values(); !slices.Equal(first, second) {
		t.Errorf("got two fleets of one seed that differ, want one and the same")
	}
}

type recorded []float64

func (r *recorded) Set(value float64, _ string, _ ...string) { *r = append(*r, value) }
