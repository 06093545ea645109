package status

import (
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"unicode"
)

// hostile is what an exporter that somebody else has taken over might say.
const hostile = "attestation_exporter_build_info{version=\"\x1b]0;title\a\"} 1\n" +
	"attestation_scrape_collector_success{collector=\"a\x1b[2Jb\\nc\"} 0\n" +
	"attestation_certificate_not_after_timestamp_seconds{kind=\"file\",name=\"<script>alert(1)</script>\"} 1\n" +
	"attestation_certificate_not_after_timestamp_seconds{kind=\"file\",name=\"x | critical=0\"} NaN\n" +
	"attestation_certificate_load_failed{kind=\"file\",name=\"\u202Egnp.exe\",reason=\"r | s\"} 1\n" +
	"attestation_timer_loaded{timer=\"t\"} 1\n" +
	"attestation_timer_next_trigger_timestamp_seconds{timer=\"t\"} -1e300\n" +
	"attestation_trust_bundle_authorities{bundle=\"b\",state=\"valid\",trust_domain=\"d\"} +Inf\n" +
	"attestation_certificate_not_after_timestamp_seconds{kind=\"ek\",name=\"e\"} 1e308\n" +
	"attestation_certificate_not_before_timestamp_seconds{kind=\"ek\",name=\"e\"} -1e308\n"

func TestHostileExposition(t *testing.T) {
	samples, err := Parse(strings.NewReader(hostile))
	if err != nil {
		t.Fatal(err)
	}
	checkHarmless(t, samples)
	page, err := Judge([]Answer{{Host: "h", Samples: samples}}, fixtureNow).Page()
	if err != nil || strings.Contains(page, "<script") {
		t.Errorf("page: got %v and\n%s\nwant the markup as text", err, page)
	}
}

// checkHarmless asks that whatever is drawn holds no character that a terminal
// obeys, and no bar that begins a plugin's performance data.
func checkHarmless(t *testing.T, samples Samples) {
	t.Helper()
	report := Judge([]Answer{{Host: "h", Samples: samples}}, fixtureNow)
	for _, all := range []bool{false, true} {
		text := report.Screen(ScreenOptions{All: all}) + report.PerformanceData()
		if i := strings.IndexFunc(text, func(r rune) bool { return r == '|' || r != '\n' && !unicode.IsPrint(r) }); i >= 0 {
			t.Errorf("got %q", text[max(0, i-20):min(len(text), i+20)])
		}
	}
	if strings.Contains(report.Summary(), "\n") {
		t.Errorf("summary: got %q, want one line", report.Summary())
	}
	if _, err := json.Marshal(report); err != nil {
		t.Errorf("JSON: got %v", err)
	}
	if _, err := report.Page(); err != nil {
		t.Errorf("page: got %v", err)
	}
}

func TestParseRefuses(t *testing.T) {
	tests := []struct {
		name string
		from io.Reader
		says string
	}{
		{"not an exposition", strings.NewReader("<html>\x1b[2J"), "parse exposition"},
		{"too long", &bounded{from: strings.NewReader("a 1\na 2\n"), bytes: 8, lines: 1}, errTooLong.Error()},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse(tt.from)
			if err == nil || !strings.Contains(err.Error(), tt.says) || strings.ContainsRune(err.Error(), '\x1b') {
				t.Errorf("got %q, want an error that says %q and can be printed", err, tt.says)
			}
		})
	}
}

func TestBounded(t *testing.T) {
	const text = "a 1\nb 2\n"
	tests := []struct {
		name         string
		bytes, lines int
		want         error
	}{
		{"just enough", 8, 2, nil},
		{"a byte too many", 7, 2, errTooLong},
		{"a line too many", 8, 1, errTooLong},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := io.Copy(io.Discard, &bounded{from: strings.NewReader(text), bytes: tt.bytes, lines: tt.lines})
			if !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

func TestPrintable(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"plain", "/etc/keylime/certs/agent.crt", "/etc/keylime/certs/agent.crt"},
		{"letters of all countries", "Größe 東京", "Größe 東京"},
		{"escape", "a\x1b[31mb", "a\ufffd[31mb"},
		{"C1 control", "a\u009b31mb", "a\ufffd31mb"},
		{"new line", "a\nb\r", "a\ufffdb\ufffd"},
		{"direction", "a\u202eb\u2066", "a\ufffdb\ufffd"},
		{"bar", "a|b", "a¦b"},
		{"broken UTF-8", "a\xffb", "a\ufffdb"},
		{"long", strings.Repeat("é", maxText+1), strings.Repeat("é", maxText) + "…"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := printable(tt.text); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add(hostile)
	f.Add("attestation_luks_binding_satisfied{device=\"d\",token=\"0\"} 1\nattestation_luks_binding_pcr_info{device=\"d\",token=\"0\",pcr=\"4\"} 1\nattestation_boot_file_matches_measured{pcr=\"4\",path=\"p\"} 0\n")
	f.Add("attestation_keylime_verifier_up{verifier=\"v\"} 1\nattestation_keylime_agent_info{agent=\"a\",verifier=\"v\"} 1\n")
	f.Add("# TYPE attestation_x histogram\nattestation_x_bucket{le=\"1\"} 1\n")
	f.Fuzz(func(t *testing.T, text string) {
		if samples, err := Parse(strings.NewReader(text)); err == nil {
			checkHarmless(t, samples)
		}
	})
}
