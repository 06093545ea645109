package main

import (
	"slices"
	"strings"
	"testing"
)

const someRules = `
groups:
  - name: some
    rules:
      - record: host:fault:seconds
        expr: time() - max by (host) (fault_timestamp_seconds{kind="disk"})
      - alert: Fault
        expr: |
          host:fault:seconds > 60 and on (host) (here == 1)
          or on (host) vector(1)
        for: 5m
        labels: &labels
          severity: warning
      - alert: Other
        expr: other == 0
        labels: *labels
        annotations:
          summary: '{{ with query "host:fault:seconds" }}{{ . | first | value }}{{ end }}'
`

func parseSome(t *testing.T) []*ruleFile {
	t.Helper()
	file, err := parseRuleFile("some.rules.yml", []byte(someRules))
	if err != nil {
		t.Fatal(err)
	}
	return []*ruleFile{file}
}

func TestMutants(t *testing.T) {
	made, err := mutants(parseSome(t))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range made {
		got = append(got, m.rule.name+" "+m.kind+": "+strings.Join(strings.Fields(m.broken), " "))
	}
	want := []string{
		`host:fault:seconds matcher dropped: time() - max by (host) (fault_timestamp_seconds)`,
		`host:fault:seconds operator flipped: time() + max by (host) (fault_timestamp_seconds{kind="disk"})`,
		`Fault for halved: 2m30s`,
		`Fault number a step off: host:fault:seconds > 120 and on (host) (here == 1) or on (host) vector(1)`,
		`Fault operator flipped: host:fault:seconds >= 60 and on (host) (here == 1) or on (host) vector(1)`,
		`Fault operator flipped: host:fault:seconds > 60 and on (host) (here != 1) or on (host) vector(1)`,
		`Fault operator flipped: host:fault:seconds > 60 unless on (host) (here == 1) or on (host) vector(1)`,
		`Fault and dropped: host:fault:seconds > 60 or on (host) vector(1)`,
		`Fault number a step off: host:fault:seconds > 60 and on (host) (here == 1) or on (host) vector(2)`,
		`Fault or dropped: host:fault:seconds > 60 and on (host) (here == 1)`,
		`Fault left side of or dropped: vector(1)`,
		`Other operator flipped: other != 0`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestChooseTakesOneOfEachKindFirst(t *testing.T) {
	made, err := mutants(parseSome(t))
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[[2]string]bool{}
	for _, m := range made {
		kinds[[2]string{m.rule.name, m.kind}] = true
	}
	first := map[[2]string]bool{}
	for _, m := range choose(made, "", 1)[:len(kinds)] {
		first[[2]string{m.rule.name, m.kind}] = true
	}
	if len(first) != len(kinds) {
		t.Errorf("got %d kinds among the first %d, want all", len(first), len(kinds))
	}
}

// TestNamesTellMutantsApart holds names to what -except needs of them.
func TestNamesTellMutantsApart(t *testing.T) {
	files, err := readRuleFiles("../..")
	if err != nil {
		t.Fatal(err)
	}
	made, err := mutants(files)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{}
	for _, m := range made {
		name := m.String()
		if broken, ok := seen[name]; ok {
			t.Errorf("%s: got the name of `%s` for `%s`, too", name, broken, m.broken)
		}
		seen[name] = m.broken
	}
}
