package docs

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// TestFlagsExist asks the program itself for its flags. A flag is taken for ours
// when it has a dot, as most have, or stands behind the program's name.
func TestFlagsExist(t *testing.T) {
	known := flags(t)
	dotted := regexp.MustCompile(`--[a-z-]+\.[a-z.-]*[a-z]`)
	called := regexp.MustCompile(`attestation_exporter(?: [a-z]+)?((?: --[a-z][a-z.-]*[a-z](?:=[^\s` + "`" + `]*)?)+)`)
	flag := regexp.MustCompile(`--[a-z][a-z.-]*[a-z]`)
	// Those of Prometheus, Alertmanager, amtool, Thanos, journalctl, and the exporters
	// in comparison.md.
	foreign := regexp.MustCompile(`^--(storage|alertmanager|cluster|query|since|systemd)\b`)
	for _, p := range pages(t) {
		named := dotted.FindAllString(p.text, -1)
		for _, match := range called.FindAllStringSubmatch(p.text, -1) {
			named = append(named, flag.FindAllString(match[1], -1)...)
		}
		for _, name := range named {
			if !known[name] && !foreign.MatchString(name) && !family(p.text, name, known) {
				t.Errorf("%s: %s is no flag of this program", p.path, name)
			}
		}
	}
}

// family tells whether the page means all flags that begin so, and says it by a
// star or dots: --collector.tpm.*.
func family(text, name string, known map[string]bool) bool {
	if !strings.Contains(text, name+".*") && !strings.Contains(text, name+".…") && !strings.Contains(text, name+".NAME") {
		return false
	}
	for flag := range known {
		if strings.HasPrefix(flag, name+".") {
			return true
		}
	}
	return false
}

func flags(t *testing.T) map[string]bool {
	t.Helper()
	known := map[string]bool{"--help-long": true, "--help-man": true}
	for _, arguments := range [][]string{{"--help-long"}, {"status", "--help"}} {
		command := exec.CommandContext(t.Context(), "go", append([]string{"run", "."}, arguments...)...)
		command.Dir = ".."
		help, err := command.CombinedOutput()
		if err != nil {
			t.Fatalf("go run . %q: %v\n%s", arguments, err, help)
		}
		for _, match := range regexp.MustCompile(`--(\[no-\])?([a-z][a-z.-]*[a-z])`).FindAllStringSubmatch(string(help), -1) {
			known["--"+match[2]] = true
			if match[1] != "" {
				known["--no-"+match[2]] = true
			}
		}
	}
	for _, expected := range []string{"--web.listen-address", "--watch"} {
		if !known[expected] {
			t.Fatalf("the program's help doesn't name %s", expected)
		}
	}
	return known
}

// TestMetricsExist looks each metric up in the reference, which is made from the
// code. A beginning is meant where dots or a star follow.
func TestMetricsExist(t *testing.T) {
	reference := readPage(t, "../docs/metrics.md").text
	metric := regexp.MustCompile(`\battestation_[a-z0-9_]+[a-z0-9]`)
	known := map[string]bool{}
	for _, match := range regexp.MustCompile("(?m)^\\| `(attestation_[a-z0-9_]+)`").FindAllStringSubmatch(reference, -1) {
		known[match[1]] = true
	}
	// The program, what it is called elsewhere, and a label.
	others := []string{
		"attestation_exporter", "attestation_exporter_build_info", "attestation_exporter_reader",
		"attestation_reader", "attestation_type", "attestation_status",
	}
	for _, p := range pages(t) {
		for _, at := range metric.FindAllStringIndex(p.text, -1) {
			name, rest := p.text[at[0]:at[1]], p.text[at[1]:]
			beginning := regexp.MustCompile(`^_?(…|\*|\.\*)`).MatchString(rest)
			switch {
			case known[name], slices.Contains(others, name):
			case strings.HasSuffix(p.text[:at[0]], "$"): // a macro of Icinga's
			case beginning && begins(known, name):
			case strings.HasPrefix(rest, ":"), strings.HasSuffix(p.text[:at[0]], ":"):
				// A part of a recorded series' name: see TestRulesExist.
			default:
				t.Errorf("%s: %s is no metric of docs/metrics.md", p.path, name)
			}
		}
	}
}

func begins(known map[string]bool, beginning string) bool {
	for name := range known {
		if strings.HasPrefix(name, beginning) {
			return true
		}
	}
	return false
}

// TestRulesExist looks alerts and recorded series up in the rules. What is written
// like an alert and is none is listed here.
func TestRulesExist(t *testing.T) {
	alerts, records := rules(t)
	alert := regexp.MustCompile(`\b(?:Attestation|TPM|Boot|SecureBoot|IMA|Disk|Keylime|SPIRE|TrustBundle|Certificate|Timer|OpenBao)[A-Z][a-z][A-Za-z]*\b`)
	record := regexp.MustCompile(`\b[a-z_]{4,}:[a-z_]*attestation[a-z_]*:[a-z_]+|\battestation:[a-z_]+:[a-z_]+`)
	others := []string{"BootNext", "BootOrder"}
	for _, p := range pages(t) {
		for _, name := range alert.FindAllString(p.text, -1) {
			if !alerts[name] && !slices.Contains(others, name) {
				t.Errorf("%s: no rule makes the alert %s", p.path, name)
			}
		}
		for _, name := range record.FindAllString(p.text, -1) {
			if !records[name] {
				t.Errorf("%s: no rule records %s", p.path, name)
			}
		}
	}
}

func rules(t *testing.T) (alerts, records map[string]bool) {
	t.Helper()
	files, err := filepath.Glob("../rules/*.rules.yml")
	if err != nil || len(files) == 0 {
		t.Fatalf("got %d rule files (%v), want some", len(files), err)
	}
	alerts, records = map[string]bool{}, map[string]bool{}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var parsed struct {
			Groups []struct {
				Rules []struct{ Alert, Record string }
			}
		}
		if err := yaml.Unmarshal(content, &parsed); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, group := range parsed.Groups {
			for _, rule := range group.Rules {
				alerts[rule.Alert], records[rule.Record] = true, true
			}
		}
	}
	return alerts, records
}
