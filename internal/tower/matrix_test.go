package tower

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the table of faults instead of comparing with it")

const (
	faultPage  = "../../docs/alerts.md"
	faultBegin = "<!-- The table below is made from the code: go test ./internal/tower -run TestFaultTable -update -->\n"
)

// TestFaultTable holds the table in docs/alerts.md to the faults.
func TestFaultTable(t *testing.T) {
	content, err := os.ReadFile(faultPage)
	if err != nil {
		t.Fatal(err)
	}
	prose, rest, found := strings.Cut(string(content), faultBegin)
	if !found {
		t.Fatalf("%s has no line %q", faultPage, faultBegin)
	}
	got, after, more := strings.Cut(rest, "\n\n")
	if more {
		after = "\n\n" + after
	}
	want := faultTable()
	if *update {
		if err := os.WriteFile(faultPage, []byte(prose+faultBegin+want+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if strings.TrimSuffix(got, "\n") != strings.TrimSuffix(want, "\n") {
		t.Errorf("%s isn't what the code does; run go test ./internal/tower -run TestFaultTable -update\ngot\n%s\nwant\n%s", faultPage, got, want)
	}
}

func faultTable() string {
	var table strings.Builder
	table.WriteString("| fault | what happens | notifications | fires, and is hidden |\n| --- | --- | --- | --- |\n")
	for _, fault := range Faults() {
		fmt.Fprintf(&table, "| %s | %s | %s | %s |\n", fault.Name, fault.What, strings.Join(fault.Alerts, fault.Between()), strings.Join(fault.Hidden, ", "))
	}
	return table.String()
}
