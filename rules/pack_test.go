package rules_test

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const (
	parametersFile = "parameters.rules.yml"
	alertsPage     = "../docs/alerts.md"
	runbooks       = "../docs/runbooks"
	runbookBase    = "https://funlab.casa/attestation_exporter/docs/runbooks/"
	dashboardBase  = "https://funlab.casa/grafana/d/"
)

type rule struct {
	Alert       string
	Record      string
	Expr        string
	Labels      map[string]string
	Annotations map[string]string

	file string
}

func readRules(t *testing.T) []rule {
	t.Helper()
	files, err := filepath.Glob("*.rules.yml")
	if err != nil || len(files) == 0 {
		t.Fatalf("got %d rule files (%v), want some", len(files), err)
	}
	var rules []rule
	for _, file := range files {
		var content struct {
			Groups []struct {
				Name  string
				Rules []rule
			}
		}
		if err := yaml.Unmarshal([]byte(read(t, file)), &content); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, group := range content.Groups {
			for _, r := range group.Rules {
				r.file = file
				rules = append(rules, r)
			}
		}
	}
	return rules
}

func readAlerts(t *testing.T) map[string]rule {
	t.Helper()
	alerts := map[string]rule{}
	for _, r := range readRules(t) {
		if r.Alert == "" {
			continue
		}
		if _, twice := alerts[r.Alert]; twice {
			t.Errorf("%s: %s is there twice", r.file, r.Alert)
		}
		alerts[r.Alert] = r
	}
	return alerts
}

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// TestAlertsHaveTheirPages holds rules, the table in docs/alerts.md and the
// runbooks together: the same names, with the same severity.
func TestAlertsHaveTheirPages(t *testing.T) {
	inRules := map[string]string{}
	for name, r := range readAlerts(t) {
		inRules[name] = r.Labels["severity"]
	}
	inTable := map[string]string{}
	row := regexp.MustCompile(`(?m)^\| \[(\w+)\]\(runbooks/(\w+)\.md\) \| (\w+) \|`)
	for _, match := range row.FindAllStringSubmatch(read(t, alertsPage), -1) {
		if match[1] != match[2] {
			t.Errorf("%s: the row of %s links to the runbook of %s", alertsPage, match[1], match[2])
		}
		inTable[match[1]] = match[3]
	}
	if !maps.Equal(inTable, inRules) {
		t.Errorf("%s: got %v, want %v", alertsPage, inTable, inRules)
	}
	var written []string
	files, err := filepath.Glob(filepath.Join(runbooks, "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		written = append(written, strings.TrimSuffix(filepath.Base(file), ".md"))
	}
	if got, want := written, slices.Sorted(maps.Keys(inRules)); !slices.Equal(got, want) {
		t.Errorf("runbooks: got %q, want %q", got, want)
	}
}

// TestRunbooksAnswerEveryQuestion asks for the same headings in the same order,
// so that nobody has to search a page at night.
func TestRunbooksAnswerEveryQuestion(t *testing.T) {
	want := []string{"What breaks next", "Look", "Do", "Do not", "Over when", "False alarms"}
	heading := regexp.MustCompile(`(?m)^## (.+)$`)
	files, err := filepath.Glob(filepath.Join(runbooks, "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		page, name := read(t, file), strings.TrimSuffix(filepath.Base(file), ".md")
		var got []string
		for _, match := range heading.FindAllStringSubmatch(page, -1) {
			got = append(got, match[1])
		}
		if !strings.HasPrefix(page, "# "+name+"\n\n") || !slices.Equal(got, want) {
			t.Errorf("%s.md: got headings %q, want its name and %q", name, got, want)
		}
	}
}

func TestAlertsSayWhatIsNeeded(t *testing.T) {
	severities := []string{"critical", "warning", "info", "none"}
	for name, r := range readAlerts(t) {
		layer := strings.TrimSuffix(r.file, ".rules.yml")
		if got := r.Labels["layer"]; got != layer {
			t.Errorf("%s: layer: got %q, want %q, which its file is named for", name, got, layer)
		}
		if got := r.Labels["severity"]; !slices.Contains(severities, got) {
			t.Errorf("%s: severity: got %q, want one of %q", name, got, severities)
		}
		if r.Labels["host"] == "" {
			t.Errorf("%s: has no host", name)
		}
		for _, annotation := range []string{"summary", "description"} {
			if r.Annotations[annotation] == "" {
				t.Errorf("%s: has no %s", name, annotation)
			}
		}
		if got, want := r.Annotations["runbook_url"], runbookBase+name+".md"; got != want {
			t.Errorf("%s: runbook_url: got %q, want %q", name, got, want)
		}
		if got := r.Annotations["dashboard"]; !strings.HasPrefix(got, dashboardBase) {
			t.Errorf("%s: dashboard: got %q, want %s...", name, got, dashboardBase)
		}
	}
}

// TestParametersStandInOnePlace finds a parameter that no rule uses, one that is
// used and not defined, and one whose absence AttestationParameterMissing would
// not notice: the comparison with it would be false for ever.
func TestParametersStandInOnePlace(t *testing.T) {
	name := regexp.MustCompile(`attestation:parameter:value\{parameter="(\w+)"\}`)
	used, defined, guarded := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, r := range readRules(t) {
		if r.file == parametersFile && r.Record == "attestation:parameter:value" {
			defined[r.Labels["parameter"]] = true
		}
		for _, match := range name.FindAllStringSubmatch(r.Expr, -1) {
			if r.Alert == "AttestationParameterMissing" {
				guarded[match[1]] = true
			} else {
				used[match[1]] = true
			}
		}
		if r.file != parametersFile && regexp.MustCompile(`\bup\b(\{|\s|$)`).MatchString(strings.ReplaceAll(r.Expr, "attestation:target:up", "")) {
			t.Errorf("%s: %s%s reads `up` itself, which needs the name of the scrape job", r.file, r.Alert, r.Record)
		}
	}
	if !maps.Equal(defined, used) {
		t.Errorf("defined: got %v, want those that are used, %v", defined, used)
	}
	if !maps.Equal(guarded, used) {
		t.Errorf("guarded: got %v, want those that are used, %v", guarded, used)
	}
}

// TestAlertsHaveTheirCases asks of the promtool tests that each alert is seen to
// fire, and to be silent.
func TestAlertsHaveTheirCases(t *testing.T) {
	fires, silent := map[string]bool{}, map[string]bool{
		"AttestationWatchdog": true, // Never is.
	}
	files, err := filepath.Glob("*.test.yml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		var content struct {
			Tests []struct {
				Alerts []struct {
					Name   string      `yaml:"alertname"`
					Wanted []yaml.Node `yaml:"exp_alerts"`
				} `yaml:"alert_rule_test"`
			}
		}
		if err := yaml.Unmarshal([]byte(read(t, file)), &content); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, test := range content.Tests {
			for _, alert := range test.Alerts {
				if len(alert.Wanted) > 0 {
					fires[alert.Name] = true
				} else {
					silent[alert.Name] = true
				}
			}
		}
	}
	for name := range readAlerts(t) {
		if !fires[name] || !silent[name] {
			t.Errorf("%s: a case in which it fires: %t, in which it is silent: %t, want both", name, fires[name], silent[name])
		}
	}
}

// TestRulesMergeNothing holds the files to plain YAML: Thanos' reader takes a label
// that stands both in a merged map and beside it for a label that is there twice.
func TestRulesMergeNothing(t *testing.T) {
	files, err := filepath.Glob("*.rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if strings.Contains(read(t, file), "<<:") {
			t.Errorf("%s: got a merge key, want every label written out", file)
		}
	}
}
