package main

import (
	"slices"
	"strings"
	"testing"
)

// TestCasesAreCutToTheRule asks which assertions, rules and series are left of a
// case when one rule is broken.
func TestCasesAreCutToTheRule(t *testing.T) {
	cases, err := parseCases("some.test.yml", []byte(`
rule_files: [some.rules.yml]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - {series: 'fault_timestamp_seconds{host="a",kind="disk"}', values: '0x9'}
      - {series: 'here{host="a"}', values: '1x9'}
      - {series: 'other{host="a"}', values: '1x9'}
    alert_rule_test:
      - {eval_time: 1m, alertname: Fault, exp_alerts: []}
      - {eval_time: 2m, alertname: Other, exp_alerts: []}
    promql_expr_test:
      - {eval_time: 3m, expr: 'count(ALERTS{alertname="Fault"})', exp_samples: []}
      - {eval_time: 4m, expr: 'count(ALERTS)', exp_samples: []}
  - interval: 1m
    input_series:
      - {series: 'here{host="a"}', values: '1x9'}
    promql_expr_test:
      - {eval_time: 5m, expr: '{__name__=~"host:.+"}', exp_samples: []}
`))
	if err != nil {
		t.Fatal(err)
	}
	pack := newPack(parseSome(t))
	tests := []struct {
		name                string
		of                  int
		rule, rules, series string
		assertions, cost    int
	}{
		{"a record, with what reads it in an expression or in a text", 0, "host:fault:seconds", "Fault Other host:fault:seconds", "fault_timestamp_seconds here other", 4, 15},
		{"an alert, with what asks for it or for any", 0, "Fault", "Fault host:fault:seconds", "fault_timestamp_seconds here", 3, 10},
		{"another", 0, "Other", "Other host:fault:seconds", "fault_timestamp_seconds other", 2, 10},
		{"a pattern of names, with what is behind those", 1, "host:fault:seconds", "host:fault:seconds", "", 1, 6},
		{"a pattern of other names", 1, "Fault", "", "", 0, 0},
		{"no case asks for it", 0, "Nothing", "", "", 0, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			cut := cases[test.of].about(test.rule, pack)
			if cut == nil {
				cut = &cutCase{testCase: testCase{interval: 1}}
			}
			var rules, series []string
			for _, r := range pack.files["some.rules.yml"].rules {
				if cut.keep[r.name] {
					rules = append(rules, r.name)
				}
			}
			slices.Sort(rules)
			for _, s := range cut.mentionedSeries() {
				series = append(series, word.FindString(valueOf(s, "series")))
			}
			if got := strings.Join(rules, " "); got != test.rules {
				t.Errorf("rules: got %q, want %q", got, test.rules)
			}
			if got := strings.Join(series, " "); got != test.series {
				t.Errorf("series: got %q, want %q", got, test.series)
			}
			if got := len(cut.assertions); got != test.assertions {
				t.Errorf("assertions: got %d, want %d", got, test.assertions)
			}
			if got := cut.cost(); got != test.cost {
				t.Errorf("cost: got %d, want %d", got, test.cost)
			}
		})
	}
}
