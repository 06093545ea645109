package rules_test

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"funlab.casa/attestation_exporter/internal/declared"
)

// target are the labels that Prometheus gives to every scraped series.
var target = []string{"job", "instance"}

// foreign are the metrics that aren't ours, with the labels that the rules may ask
// them for. Only who scrapes that service has them.
func foreign() map[string][]string {
	return map[string][]string{
		"vault_core_unsealed": {"cluster"}, // OpenBao
	}
}

// TestRulesReadWhatIsThere finds an expression with a metric that nothing exports
// or records, or with a label that its metric doesn't have. Such an alert is
// silent for ever.
func TestRulesReadWhatIsThere(t *testing.T) {
	known := exported(t)
	everyLabel := slices.Clone(target)
	for _, labels := range known {
		everyLabel = append(everyLabel, labels...)
	}
	rules := readRules(t)
	for _, r := range rules {
		for label := range r.Labels {
			everyLabel = append(everyLabel, label)
		}
	}
	for _, r := range rules {
		if r.Record != "" {
			// Which labels a recorded series keeps is for promtool's cases to
			// show; here only the name must be right.
			known[r.Record] = everyLabel
		}
	}
	series := regexp.MustCompile(`(?:vault_[a-z_]+|[a-z_]*:?attestation(?:_[a-z_]+|:[a-z_:]+)(?::[a-z_]+)?)(?:\{[^}]*\})?`)
	matcher := regexp.MustCompile(`([a-z_]+)(?:=~|!~|!=|=)`)
	grouping := regexp.MustCompile(`\b(?:by|on|group_left) \(([^)]*)\)`)
	for _, r := range rules {
		text := queries(r)
		for _, found := range series.FindAllString(text, -1) {
			name, selector, _ := strings.Cut(found, "{")
			if slices.Contains(everyLabel, name) {
				continue
			}
			labels, ok := known[name]
			if !ok {
				t.Errorf("%s: %s%s reads %s, which nothing exports", r.file, r.Alert, r.Record, name)
				continue
			}
			for _, match := range matcher.FindAllStringSubmatch(selector, -1) {
				if !slices.Contains(labels, match[1]) {
					t.Errorf("%s: %s%s asks for the label %s, which %s hasn't", r.file, r.Alert, r.Record, match[1], name)
				}
			}
		}
		for _, match := range grouping.FindAllStringSubmatch(r.Expr, -1) {
			for label := range strings.SplitSeq(match[1], ",") {
				if label = strings.TrimSpace(label); label != "" && !slices.Contains(everyLabel, label) {
					t.Errorf("%s: %s%s groups by the label %s, which nothing has", r.file, r.Alert, r.Record, label)
				}
			}
		}
	}
}

// queries is the text of the rule in which metrics are named: its expression
// without the values that it compares labels with, and the templates of its
// annotations without addresses.
func queries(r rule) string {
	texts := []string{regexp.MustCompile(`"[^"]*"`).ReplaceAllString(r.Expr, `""`)}
	for _, annotation := range r.Annotations {
		texts = append(texts, regexp.MustCompile(`https://\S+`).ReplaceAllString(annotation, ""))
	}
	return strings.Join(texts, "\n")
}

// exported returns the metrics that the collectors declare and those that are
// foreign, with their labels and those of their target.
func exported(t *testing.T) map[string][]string {
	t.Helper()
	metrics, err := declared.Metrics("../collector")
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(metrics, foreign())
	for name, labels := range metrics {
		metrics[name] = slices.Concat(target, labels)
	}
	return metrics
}
