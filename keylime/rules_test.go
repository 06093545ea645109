package keylime

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestStateNames(t *testing.T) {
	var got []string
	for _, state := range append(States(), 11, 255, -1) {
		got = append(got, state.String())
	}
	want := "registered start saved get_quote get_quote_retry provide_v provide_v_retry failed terminated invalid_quote tenant_failed 11 255 -1"
	if strings.Join(got, " ") != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

func TestBoundedEvent(t *testing.T) {
	tests := map[string]string{
		"internal.verifier.not_reachable":        "internal.verifier.not_reachable",
		"qoute_validation.quote_validation":      "qoute_validation.quote_validation",
		"pcr_validation.invalid_pcr_0":           "pcr_validation.invalid_pcr_0",
		"pcr_validation.invalid_pcr_23":          "pcr_validation.invalid_pcr_23",
		"pcr_validation.invalid_pcr_24":          OtherEvent,
		"pcr_validation.invalid_pcr_04":          OtherEvent,
		"pcr_validation.invalid_pcr_":            OtherEvent,
		"pcr_validation.invalid_pcr_+4":          OtherEvent,
		"anything.invalid_pcr_4":                 OtherEvent,
		"measured_boot.policy_my-own":            "measured_boot.policy",
		"":                                       OtherEvent,
		"ima.validation.ima-ng.not_in_allowlist": "ima.validation.ima-ng.not_in_allowlist",
		"something\nnew":                         OtherEvent,
	}
	for event, want := range tests {
		if got := boundedEvent(event); got != want {
			t.Errorf("boundedEvent(%q): got %q, want %q", event, got, want)
		}
	}
}

func TestPeriodOf(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"2s": 2 * time.Second, "10s": 10 * time.Second, "0s": 0, "": 0, "-1s": 0, "soon": 0, "9999999999999999s": 0,
	} {
		if got := periodOf(text); got != want {
			t.Errorf("periodOf(%q): got %v, want %v", text, got, want)
		}
	}
}

func TestHighestCommon(t *testing.T) {
	tests := []struct {
		offered []string
		want    string
	}{
		{[]string{"1.0", "2.0", "2.1", "2.6", "3.0"}, "2.6"},
		{[]string{"2.10", "2.2"}, "2.2"},
		{[]string{"3.0"}, ""},
		{nil, ""},
	}
	for _, tt := range tests {
		got, ok := highestCommon(tt.offered)
		if got != tt.want || ok != (tt.want != "") {
			t.Errorf("highestCommon(%q): got %q, %t, want %q", tt.offered, got, ok, tt.want)
		}
	}
}

func TestNextPatience(t *testing.T) {
	tests := []struct {
		name           string
		patience, took time.Duration
		timedOut       bool
		want           time.Duration
	}{
		{"three agents", firstPatience, 18 * time.Millisecond, false, 5 * time.Second},
		{"10,000 agents", 5 * time.Second, 3600 * time.Millisecond, false, 36 * time.Second},
		{"very many", 36 * time.Second, 30 * time.Second, false, time.Minute},
		{"timed out", 5 * time.Second, 5 * time.Second, true, 10 * time.Second},
		{"timed out at the limit", time.Minute, time.Minute, true, time.Minute},
		{"healthy again", time.Minute, 18 * time.Millisecond, false, 5 * time.Second},
	}
	for _, tt := range tests {
		if got := nextPatience(tt.patience, tt.took, tt.timedOut); got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestDue(t *testing.T) {
	at := func(seconds int64) registration { return registration{asked: time.Unix(seconds, 0)} }
	known := map[string]registration{"old": at(1), "older": at(0), "new": at(9), "never": {}, "nor I": {}}
	want := []string{"never", "nor I", "older", "old"}
	if got := due(known, 4); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := due(known, 9); len(got) != 5 {
		t.Errorf("more than there are: got %q, want all", got)
	}
}

func TestConfiguredID(t *testing.T) {
	const want = "01234567-89ab-cdef-0123-456789abcdef"
	tests := map[string]string{
		want:                                   want,
		strings.ToUpper(want):                  want,
		"0123456789abcdef0123456789abcdef":     want,
		"{" + want + "}":                       want,
		"urn:uuid:" + want:                     want,
		"generate":                             "",
		"hash_ek":                              "",
		"":                                     "",
		"01234567-89ab-cdef-0123-456789abcdeg": "",
		"0123456-789ab-cdef-0123-456789abcdef": "",
		want + "0":                             "",
	}
	for uuid, want := range tests {
		if got, ok := configuredID(uuid); got != want || ok != (want != "") {
			t.Errorf("configuredID(%q): got %q, %t, want %q", uuid, got, ok, want)
		}
	}
}

func FuzzConfiguredID(f *testing.F) {
	f.Add(DefaultUUID)
	f.Fuzz(func(t *testing.T, uuid string) {
		if got, ok := configuredID(uuid); ok && len(got) != len(DefaultUUID) {
			t.Errorf("got %q, want the form of a UUID", got)
		}
	})
}

func TestIDFromSPIFFE(t *testing.T) {
	tests := map[string]string{
		"spiffe://funlab.casa/spire/agent/keylime/" + DefaultUUID: DefaultUUID,
		"spiffe://funlab.casa/spire/agent/join_token/x":           "",
		"spiffe://funlab.casa/spire/agent/keylime/a/b":            "",
		"spiffe://funlab.casa/spire/agent/keylime/":               "",
		"spiffe://funlab.casa/keylime/a":                          "",
		"https://funlab.casa/spire/agent/keylime/a":               "",
		"": "",
	}
	for id, want := range tests {
		if got, ok := IDFromSPIFFE(id); got != want || ok != (want != "") {
			t.Errorf("IDFromSPIFFE(%q): got %q, %t, want %q", id, got, ok, want)
		}
	}
}

func TestListOf(t *testing.T) {
	tests := map[string]string{
		`['a.crt', "b.crt"]`: "[a.crt b.crt]",
		`[a.crt,b.crt]`:      "[a.crt b.crt]",
		`a.crt, b.crt`:       "[a.crt b.crt]",
		"['a.crt',\n 'b']":   "[a.crt b]",
		`[]`:                 "[]",
		``:                   "[]",
	}
	for text, want := range tests {
		if got := fmt.Sprint(listOf(text)); got != want {
			t.Errorf("listOf(%q): got %s, want %s", text, got, want)
		}
	}
}
