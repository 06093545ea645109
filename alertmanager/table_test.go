package alertmanager_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestInhibitionsHaveTheirRow holds the first two columns of the table in
// docs/alerts.md to the example: what hides something, and on which equal labels.
// What is hidden stands there in words, too, and isn't compared.
func TestInhibitionsHaveTheirRow(t *testing.T) {
	source := regexp.MustCompile(`^alertname=~?"([\w|]+)"$`)
	var want []string
	for _, rule := range inhibitRules(t) {
		alert := source.FindStringSubmatch(rule.SourceMatchers[0])
		if alert == nil {
			t.Fatalf("the source %q doesn't begin with alerts' names", rule.SourceMatchers)
		}
		for name := range strings.SplitSeq(alert[1], "|") {
			want = append(want, name+" on "+strings.Join(rule.Equal, ", "))
		}
	}
	slices.Sort(want)
	want = slices.Compact(want)

	got := inhibitionRows(t)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("the table in docs/alerts.md has\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func inhibitionRows(t *testing.T) []string {
	t.Helper()
	page, err := os.ReadFile("../docs/alerts.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## Inhibition\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var rows []string
	for _, row := range regexp.MustCompile(`(?m)^\| ([A-Z]\w+) \| ([^|]+) \|`).FindAllStringSubmatch(section, -1) {
		rows = append(rows, row[1]+" on "+row[2])
	}
	return rows
}
