package status

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"unicode/utf8"
)

// cases are the states of a small fleet that somebody on call meets.
func cases(t *testing.T) map[string]Report {
	third := Answer{Host: "ca", Samples: fixture(t, "agent.prom", hostAgent, "7d1b6f0e-54c2-4e6b-8f0a-2f6f1d1f9c33")}
	named := func(answers ...Answer) Report {
		for i := range answers {
			answers[i].Host += ".funlab.casa"
			answers[i].URL = "https://" + answers[i].Host + ":10247/metrics"
		}
		return Judge(answers, fixtureNow)
	}
	return map[string]Report{
		"healthy": named(serverHost(t), agentHost(t), third),
		"warning": named(serverHost(t), agentHost(t, `attestation_timer_active{timer="keylime-cert-renewal.timer"} 1`, `attestation_timer_active{timer="keylime-cert-renewal.timer"} 0`), third),
		"critical": named(serverHost(t,
			`attestation_keylime_agent_operational_state{agent="`+hostAgent+`"} 3`, `attestation_keylime_agent_operational_state{agent="`+hostAgent+`"} 9`), agentHost(t), third),
		"dead": named(serverHost(t), agentHost(t), Answer{Host: "ca", Err: errors.New("connect: connection refused"), Silent: true}),
	}
}

func TestScreen(t *testing.T) {
	for name, report := range cases(t) {
		golden(t, name+".txt", report.Screen(ScreenOptions{Width: 80}))

	}
	critical := cases(t)["critical"]
	golden(t, "critical-plugin.txt", critical.Screen(ScreenOptions{Plugin: true}))
	golden(t, "critical-all-80.txt", critical.Screen(ScreenOptions{Width: 80, All: true}))
	golden(t, "critical-all-120.txt", critical.Screen(ScreenOptions{Width: 120, All: true}))
	golden(t, "critical-color.txt", critical.Screen(ScreenOptions{Width: 80, Color: true}))
	golden(t, "healthy-one-host.txt", Judge([]Answer{serverHost(t)}, fixtureNow).Screen(ScreenOptions{Width: 80, All: true}))
}

// TestPagesShowIt holds what the documents show to what is drawn.
func TestPagesShowIt(t *testing.T) {
	whole := cases(t)["critical"].Screen(ScreenOptions{})
	_, part, _ := strings.Cut(cases(t)["warning"].Screen(ScreenOptions{}), "\n\n")
	part, _, _ = strings.Cut(part, "\nLAYERS")
	for page, want := range map[string]string{"../docs/status.md": whole, "../README.md": part} {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), "```\n"+want+"```\n") {
			t.Errorf("%s doesn't show\n%s", page, want)
		}
	}
}

func TestScreenKeepsItsWidth(t *testing.T) {
	for name, report := range cases(t) {
		for _, width := range []int{0, 80, 97, 120, 400} {
			for _, all := range []bool{false, true} {
				for line := range strings.Lines(report.Screen(ScreenOptions{Width: width, All: all})) {
					if got := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); got > max(80, width) {
						t.Errorf("%s at %d columns: got a line of %d: %s", name, width, got, line)
					}
				}
			}
		}
	}
}

// TestJSON holds the form that docs/status.md describes.
func TestJSON(t *testing.T) {
	text, err := json.MarshalIndent(Judge([]Answer{agentHost(t)}, fixtureNow), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "healthy.json", string(text)+"\n")
}

func TestSummary(t *testing.T) {
	want := map[string]string{
		"healthy":  "hosts=3;;;0 critical=0;;;0 warning=0;;;0 unknown=0;;;0 first_certificate_end=2400s first_bundle_end=72000s",
		"warning":  "hosts=3;;;0 critical=0;;;0 warning=1;;;0 unknown=0;;;0 first_certificate_end=2400s first_bundle_end=72000s",
		"critical": "hosts=3;;;0 critical=2;;;0 warning=0;;;0 unknown=0;;;0 first_certificate_end=2400s first_bundle_end=72000s",
		"dead":     "hosts=3;;;0 critical=1;;;0 warning=0;;;0 unknown=0;;;0 first_certificate_end=2400s first_bundle_end=72000s",
	}
	for name, report := range cases(t) {
		if got := report.PerformanceData(); got != want[name] {
			t.Errorf("%s: got %s, want %s", name, got, want[name])
		}
		if got := report.Summary(); strings.ContainsAny(got, "|\n") || !strings.HasPrefix(got, "ATTESTATION "+report.State.String()+": ") {
			t.Errorf("%s: got %q, want one line that begins with the state", name, got)
		}
	}
}

func TestPage(t *testing.T) {
	for _, name := range []string{"healthy", "critical"} {
		page, err := cases(t)[name].Page()
		if err != nil {
			t.Fatal(err)
		}
		golden(t, name+".html", page)
	}
}

func TestWrap(t *testing.T) {
	tests := []struct {
		name, text string
		n          int
		want       string
	}{
		{"short", "a bc", 10, "a bc"},
		{"at a space", "one two three", 8, "one two\nthree"},
		{"exactly", "one two", 7, "one two"},
		{"a long word", "x abcdefghij y", 4, "x\nabcd\nefgh\nij y"},
		{"nothing", "", 4, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := strings.Join(wrap(tt.text, tt.n), "\n"); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestSpan(t *testing.T) {
	tests := []struct {
		seconds float64
		want    string
	}{
		{0, "0s"}, {59.9, "59s"}, {60, "1m 0s"}, {3599, "59m 59s"}, {3600, "1h 0m"}, {86399, "23h 59m"}, {86400, "1d 0h"},
		{99 * day, "99d 0h"}, {100 * day, "100d"}, {3 * 365 * day, "3y"}, {2.5e11, "7927y"}, {1e300, "for ever"}, {-90, "1m 30s"},
	}
	for _, tt := range tests {
		if got := span(tt.seconds); got != tt.want {
			t.Errorf("%v: got %q, want %q", tt.seconds, got, tt.want)
		}
	}
}
