package status

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

type rule struct {
	Alert, Expr string
	Labels      map[string]string
}

func readAlerts(t *testing.T) map[string]rule {
	t.Helper()
	files, err := filepath.Glob("../rules/*.rules.yml")
	if err != nil || len(files) == 0 {
		t.Fatalf("got %d rule files (%v), want some", len(files), err)
	}
	alerts := map[string]rule{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var content struct {
			Groups []struct{ Rules []rule }
		}
		if err := yaml.Unmarshal(text, &content); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, group := range content.Groups {
			for _, r := range group.Rules {
				if r.Alert != "" {
					alerts[r.Alert] = r
				}
			}
		}
	}
	return alerts
}

// ending are the alerts that a threshold decides about.
func ending() []struct {
	alert      alert
	thresholds Thresholds
	atLeast    State
	bundle     bool
} {
	return []struct {
		alert      alert
		thresholds Thresholds
		atLeast    State
		bundle     bool
	}{
		{certificateExpiringSoon, CertificateThresholds(), Warning, false},
		{certificateCritical, CertificateThresholds(), Critical, false},
		{bundleExpiringSoon, BundleThresholds(), Warning, true},
		{bundleExpiryCritical, BundleThresholds(), Critical, true},
	}
}

// TestThresholdsAreTheRules evaluates the rules' own expressions in promtool, around
// each boundary of lives from a minute to a century, and asks Judge the same.
func TestThresholdsAreTheRules(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Fatalf("%v: `make tools` unpacks promtool", err)
	}
	parameters, err := filepath.Abs("../rules/parameters.rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	alerts := readAlerts(t)
	var series, cases strings.Builder
	seen := map[State]int{}
	const now = 600 // when promtool evaluates; parameters are recorded by then
	for i, e := range ending() {
		fmt.Fprintf(&cases, "      - eval_time: 10m\n        expr: %s\n        exp_samples:\n", strconv.Quote("group by (name, bundle) ("+alerts[string(e.alert)].Expr+")"))
		for n, c := range boundaryCases(e.thresholds) {
			name := fmt.Sprintf("%d-%d", i, n)
			if e.bundle {
				writeSeries(&series, `attestation_trust_bundle_last_expiry_timestamp_seconds{bundle="`+name+`"}`, now+c.remaining)
				writeSeries(&series, `attestation_trust_bundle_last_lifetime_seconds{bundle="`+name+`"}`, c.lifetime)
			} else {
				writeSeries(&series, `attestation_certificate_not_after_timestamp_seconds{name="`+name+`"}`, now+c.remaining)
				writeSeries(&series, `attestation_certificate_not_before_timestamp_seconds{name="`+name+`"}`, now+c.remaining-c.lifetime)
			}
		}
		// Every rule is asked about all series of its kind, the other's cases too.
		for j, other := range ending() {
			if other.bundle != e.bundle {
				continue
			}
			for n, c := range boundaryCases(other.thresholds) {
				state := e.thresholds.Judge(c.remaining, c.lifetime)
				seen[state]++
				if state.urgency() >= e.atLeast.urgency() {
					label := "name"
					if e.bundle {
						label = "bundle"
					}
					fmt.Fprintf(&cases, "          - {labels: '{%s=\"%d-%d\"}', value: 1}\n", label, j, n)
				}
			}
		}
	}
	for _, state := range []State{OK, Warning, Critical} {
		if seen[state] == 0 {
			t.Errorf("no case is %v", state)
		}
	}
	path := filepath.Join(t.TempDir(), "thresholds.test.yml")
	text := "rule_files: [" + parameters + "]\nevaluation_interval: 1m\ntests:\n  - interval: 1m\n    input_series:\n" + series.String() + "    promql_expr_test:\n" + cases.String()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), promtool, "test", "rules", path).CombinedOutput(); err != nil {
		t.Errorf("promtool: %v\n%.3000s", err, out)
	}
}

func writeSeries(to *strings.Builder, name string, value float64) {
	fmt.Fprintf(to, "      - {series: '%s', values: '%sx15'}\n", name, strconv.FormatFloat(value, 'f', -1, 64)+"+0")
}

type boundaryCase struct{ remaining, lifetime float64 }

// boundaryCases lie on, a second above and a second below each line.
func boundaryCases(thresholds Thresholds) []boundaryCase {
	var cases []boundaryCase
	for _, lifetime := range []float64{60, 3600, 86400, 7 * day, 18 * day, 18*day + 1, 21 * day, 21*day - 1, 36 * day, 42 * day, 90 * day, 36500 * day} {
		for _, line := range []float64{
			0, lifetime * thresholds.WarningShare, lifetime * thresholds.CriticalShare, thresholds.WarningSeconds, thresholds.CriticalSeconds,
		} {
			for _, off := range []float64{-1, 0, 1} {
				cases = append(cases, boundaryCase{line + off, lifetime})
			}
		}
	}
	return cases
}

// TestSeveritiesAreTheRules reads the constants of alert.go and asks the rules
// whether such an alert is there, and how severe it is.
func TestSeveritiesAreTheRules(t *testing.T) {
	alerts := readAlerts(t)
	names := ownAlerts(t)
	if len(names) == 0 {
		t.Fatal("got no alert in alert.go, want some")
	}
	for _, name := range names {
		want := map[string]State{"warning": Warning, "critical": Critical}[alerts[name].Labels["severity"]]
		if got := alert(name).severity(); got != want {
			t.Errorf("%s: got %v, want %q of the rules", name, got, alerts[name].Labels["severity"])
		}
	}
}

// TestEachAlertIsAccountedFor holds the two tables of docs/status.md to the rules:
// each alert has a row here, or can't be seen from one exposition.
func TestEachAlertIsAccountedFor(t *testing.T) {
	page, err := os.ReadFile("../docs/status.md")
	if err != nil {
		t.Fatal(err)
	}
	seen, unseen, found := strings.Cut(string(page), "## What one look can't see")
	if !found {
		t.Fatal("docs/status.md has no section \"What one look can't see\"")
	}
	row := regexp.MustCompile(`(?m)^\| (\w[\w, ]*) \|`)
	listed := func(text string) []string {
		var names []string
		for _, match := range row.FindAllStringSubmatch(text, -1) {
			for name := range strings.SplitSeq(match[1], ", ") {
				if regexp.MustCompile(`^[A-Z]\w+[a-z]\w+$`).MatchString(name) {
					names = append(names, name)
				}
			}
		}
		slices.Sort(names)
		return names
	}
	if got, want := listed(seen), ownAlerts(t); !slices.Equal(got, want) {
		t.Errorf("alerts with a row: got %q, want %q", got, want)
	}
	all := slices.Sorted(maps.Keys(readAlerts(t)))
	both := slices.Concat(ownAlerts(t), listed(unseen))
	slices.Sort(both)
	if !slices.Equal(both, all) {
		t.Errorf("alerts in docs/status.md: got %q, want %q", both, all)
	}
}

func ownAlerts(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("alert.go")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, match := range regexp.MustCompile(`(?m)^\t\w+ +alert = "(\w+)"$`).FindAllStringSubmatch(string(text), -1) {
		names = append(names, match[1])
	}
	slices.Sort(names)
	return names
}
