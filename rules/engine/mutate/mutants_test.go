package main

import (
	"bytes"
	"os"
	"path/filepath"
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
	names := named(t)
	slices.Sort(names)
	for i, name := range names[1:] {
		if name == names[i] {
			t.Errorf("two mutants are %s", name)
		}
	}
}

func TestNamesChangeWithTheRule(t *testing.T) {
	files := parseSome(t)
	before := namesOf(t, files)
	under(files[0].rules[1].node, "for").Value = "6m"
	for i, name := range namesOf(t, files) {
		changed := name != before[i]
		if want := strings.Contains(name, " Fault "); changed != want {
			t.Errorf("%s, which was %s: got changed %t, want %t", name, before[i], changed, want)
		}
	}
}

func TestExceptLeavesOutWhatIsNamed(t *testing.T) {
	all := named(t)
	half := len(all) / 2
	path := filepath.Join(t.TempDir(), "tried")
	if err := os.WriteFile(path, []byte(strings.Join(all[:half], "\n")+"\nof a rule that was\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, want := named(t, "-except", path), all[half:]; !slices.Equal(got, want) {
		t.Errorf("got %d mutants, want the last %d", len(got), len(want))
	}
}

// named are the mutants of the shipped rules, as -list names them.
func named(t *testing.T, args ...string) []string {
	t.Helper()
	var out bytes.Buffer
	if err := run(append([]string{"-rules", "../..", "-list"}, args...), &out); err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(out.String()), "\n")
}

func namesOf(t *testing.T, files []*ruleFile) []string {
	t.Helper()
	made, err := mutants(files)
	if err != nil {
		t.Fatal(err)
	}
	names := make([]string, 0, len(made))
	for _, m := range made {
		names = append(names, m.String())
	}
	return names
}
