package dashboards

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"funlab.casa/attestation_exporter/internal/declared"
)

// TestExpressionsParse lets Prometheus read every expression, as a rule.
func TestExpressionsParse(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Fatalf("%v: `make tools` unpacks it", err)
	}
	var rules strings.Builder
	rules.WriteString("groups:\n  - name: dashboards\n    rules:\n")
	for i, q := range Queries() {
		fmt.Fprintf(&rules, "      - record: query:%d\n        expr: %s\n        labels: {of: %s}\n", i, strconv.Quote(q.Expr), strconv.Quote(q.Panel+" "+q.RefID))
	}
	file := filepath.Join(t.TempDir(), "dashboards.rules.yml")
	if err := os.WriteFile(file, []byte(rules.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if said, err := exec.CommandContext(t.Context(), promtool, "check", "rules", file).CombinedOutput(); err != nil {
		t.Errorf("promtool: %v\n%s", err, said)
	}
}

// ofPrometheus are series that Prometheus, or client_golang in the exporter, makes.
func ofPrometheus() []string {
	return []string{
		"ALERTS", "ALERTS_FOR_STATE", "scrape_duration_seconds", "scrape_samples_scraped",
		"process_resident_memory_bytes", "process_cpu_seconds_total", "process_open_fds", "process_start_time_seconds",
		"go_goroutines", "attestation_exporter_build_info",
	}
}

// TestExpressionsReadWhatIsThere finds an expression with a series that nothing
// exports or records, or with a label that its metric hasn't: such a panel is empty
// for ever.
func TestExpressionsReadWhatIsThere(t *testing.T) {
	exported, err := declared.Metrics("../collector")
	if err != nil {
		t.Fatal(err)
	}
	recorded := recordedSeries(t)
	var labelNames []string
	for _, labels := range exported {
		labelNames = append(labelNames, labels...)
	}
	series := regexp.MustCompile(`\b((?:[a-z_]+:)?attestation[a-z_:]+|ALERTS\w*|(?:process|go|scrape)_[a-z_]+)(\{[^}]*\})?`)
	matcher := regexp.MustCompile(`([a-z_]+)(?:=~|!~|!=|=)`)
	values := regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)
	for _, q := range Queries() {
		where := q.Dashboard + ": " + q.Panel + " " + q.RefID
		for _, found := range series.FindAllStringSubmatch(values.ReplaceAllString(q.Expr, `""`), -1) {
			name, selector := found[1], found[2]
			if slices.Contains(labelNames, name) {
				continue
			}
			labels, is := exported[name]
			if !is && !slices.Contains(recorded, name) && !slices.Contains(ofPrometheus(), name) {
				t.Errorf("%s reads %s, which nothing exports or records", where, name)
			}
			if !is {
				continue
			}
			for _, match := range matcher.FindAllStringSubmatch(selector, -1) {
				if label := match[1]; label != "job" && label != "instance" && !slices.Contains(labels, label) {
					t.Errorf("%s asks for the label %s, which %s hasn't", where, label, name)
				}
			}
		}
	}
}

// recordedSeries are the names that the shipped rules record.
func recordedSeries(t *testing.T) []string {
	t.Helper()
	var names []string
	for _, r := range shippedRules(t) {
		if r.Record != "" {
			names = append(names, r.Record)
		}
	}
	return names
}

type rule struct {
	Alert, Record string
	Labels        map[string]string
	Annotations   map[string]string
}

func shippedRules(t *testing.T) []rule {
	t.Helper()
	files, err := filepath.Glob("../rules/*.rules.yml")
	if err != nil || len(files) == 0 {
		t.Fatalf("got %d rule files (%v), want some", len(files), err)
	}
	var rules []rule
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var document struct{ Groups []struct{ Rules []rule } }
		if err := yaml.Unmarshal(content, &document); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, group := range document.Groups {
			rules = append(rules, group.Rules...)
		}
	}
	return rules
}

// TestAlertsLandOnADashboard holds the alerts' links to the dashboards: they are
// there, and have the variables that are set.
func TestAlertsLandOnADashboard(t *testing.T) {
	for _, r := range shippedRules(t) {
		if r.Alert == "" {
			continue
		}
		_, address, found := strings.Cut(r.Annotations["dashboard"], "/d/")
		if !found {
			t.Errorf("%s: got the dashboard %q, want an address with /d/", r.Alert, r.Annotations["dashboard"])
			continue
		}
		checkAddress(t, r.Alert, address)
	}
}

// TestOverviewKnowsEveryLayer finds an alert that no column of the overview shows.
// OpenBao needs none: a column of dashes for everybody who doesn't scrape it would
// tell less than Worst and the alerts below do.
func TestOverviewKnowsEveryLayer(t *testing.T) {
	shown := []string{"service"}
	for _, l := range layers() {
		shown = append(shown, l.name)
	}
	for _, r := range shippedRules(t) {
		if layer := r.Labels["layer"]; r.Alert != "" && !slices.Contains(shown, layer) {
			t.Errorf("%s: got the layer %q, want one of %q", r.Alert, layer, shown)
		}
	}
}
