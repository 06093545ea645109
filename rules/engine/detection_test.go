package engine_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	alertsPage = "../../docs/alerts.md"
	tableBegin = "<!-- Made by the troubled time: make detection -->\n"
	tableEnd   = "<!-- The end of what is made. -->\n"
)

// detection is after how long each symptom of each fault was told of, and for how
// long each alert waits.
type detection struct {
	after map[symptom][]time.Duration
	waits map[string]time.Duration
}

type symptom struct{ fault, alert string }

// table is that of docs/alerts.md.
func (d detection) table() string {
	var b strings.Builder
	b.WriteString("| fault | alert | its wait | p50 | worst |\n| --- | --- | --- | --- | --- |\n")
	written := map[symptom]bool{}
	for _, f := range faults() {
		for _, p := range f.pages {
			key := symptom{f.name, p.alert}
			all := slices.Sorted(slices.Values(d.after[key]))
			if len(all) == 0 || written[key] {
				continue
			}
			written[key] = true
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", f.name, p.alert, plain(d.waits[p.alert]), plain(all[(len(all)-1)/2]), plain(all[len(all)-1]))
		}
	}
	return b.String()
}

// plain is a duration without what is zero in it.
func plain(d time.Duration) string {
	text := d.Round(time.Second).String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// hold compares the table in docs/alerts.md with this one, or writes it. Other
// numbers of rounds have other numbers in it, and some faults alone only their lines.
func (d detection) hold(t *testing.T) {
	t.Helper()
	if t.Failed() || *only != "" || *rounds != 3 && !*update {
		t.Logf("\n%s", d.table())
		return
	}
	page, err := os.ReadFile(alertsPage)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begins := strings.Cut(string(page), tableBegin)
	was, after, ends := strings.Cut(rest, tableEnd)
	if !begins || !ends {
		t.Fatalf("%s: got no place for the table, want one between %q and %q", alertsPage, tableBegin, tableEnd)
	}
	if *update {
		if err := os.WriteFile(alertsPage, []byte(before+tableBegin+d.table()+tableEnd+after), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got := d.table(); got != was {
		t.Errorf("%s: got\n%s\nwant\n%s\n(make detection writes it)", alertsPage, was, got)
	}
}
