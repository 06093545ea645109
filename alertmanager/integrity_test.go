package alertmanager_test

import (
	"os"
	"regexp"
	"slices"
	"testing"

	"go.yaml.in/yaml/v3"
)

// TestNoHostHidesIntegrity looks at every inhibition that is keyed on a host, also at
// those that somebody adds: a host says itself which one it is, and may lie, so none
// of them may reach an integrity alert.
func TestNoHostHidesIntegrity(t *testing.T) {
	keyed := 0
	for _, rule := range inhibitRules(t) {
		if !slices.Contains(rule.Equal, "host") {
			continue
		}
		keyed++
		for alert, layer := range map[string]string{
			"KeylimeIntegrityFailure": "keylime", "SPIRETrustsFailedAgent": "spire", "KeylimeAgentClaimedTwice": "keylime",
		} {
			if reaches(t, rule.TargetMatchers, map[string]string{"alertname": alert, "layer": layer, "severity": "critical"}) {
				t.Errorf("%s is a target of %q", alert, rule.TargetMatchers)
			}
		}
	}
	if keyed == 0 {
		t.Error("no inhibition is keyed on a host: the test looks at nothing")
	}
}

// An inhibitRule is one of the shipped example's.
type inhibitRule struct {
	SourceMatchers []string `yaml:"source_matchers"`
	TargetMatchers []string `yaml:"target_matchers"`
	Equal          []string
}

func inhibitRules(t *testing.T) []inhibitRule {
	t.Helper()
	content, err := os.ReadFile(shipped)
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		InhibitRules []inhibitRule `yaml:"inhibit_rules"`
	}
	if err := yaml.Unmarshal(content, &config); err != nil {
		t.Fatal(err)
	}
	return config.InhibitRules
}

// reaches tells whether matchers let an alert with these labels through, whatever its
// other labels are.
func reaches(t *testing.T, matchers []string, labels map[string]string) bool {
	t.Helper()
	form := regexp.MustCompile(`^(\w+)(=~|!~|!=|=)"(.*)"$`)
	for _, matcher := range matchers {
		parts := form.FindStringSubmatch(matcher)
		if parts == nil {
			t.Fatalf("%q isn't a matcher", matcher)
		}
		value, known := labels[parts[1]]
		if !known {
			continue
		}
		equal := value == parts[3]
		if parts[2] == "=~" || parts[2] == "!~" {
			equal = regexp.MustCompile("^(?:" + parts[3] + ")$").MatchString(value)
		}
		if equal != (parts[2] == "=" || parts[2] == "=~") {
			return false
		}
	}
	return true
}
