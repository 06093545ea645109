package lockdown

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"funlab.casa/attestation_exporter/failure"
)

func TestRead(t *testing.T) {
	tests := []struct {
		name    string
		content string
		want    string
		reason  failure.Reason
	}{
		{"off", "[none] integrity confidentiality\n", "none", ""},
		{"on", "none [integrity] confidentiality\n", "integrity", ""},
		{"a mode of tomorrow", "none [everything]\n", "everything", ""},
		{"empty", "", "", failure.Malformed},
		{"no brackets", "none integrity\n", "", failure.Malformed},
		{"two modes", "[none] [integrity]\n", "", failure.Malformed},
		{"cut short", "none [integ", "", failure.Malformed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "lockdown")
			if err := os.WriteFile(file, []byte(tt.content), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := Source{File: file}.Read(t.Context())
			if got.Mode != tt.want {
				t.Errorf("got mode %q, want %q", got.Mode, tt.want)
			}
			if (err != nil) != (tt.reason != "") || err != nil && failure.Of(err) != tt.reason {
				t.Errorf("got error %v, want the reason %q", err, tt.reason)
			}
		})
	}
}

func TestReadWithoutLockdown(t *testing.T) {
	if _, err := (Source{File: filepath.Join(t.TempDir(), "absent")}).Read(t.Context()); !errors.Is(err, ErrAbsent) {
		t.Errorf("got %v, want ErrAbsent", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("none [integrity] confidentiality\n")
	f.Add("[]")
	f.Add("[[none]]")
	f.Fuzz(func(t *testing.T, text string) {
		mode, err := parse(text)
		if (mode == "") == (err == nil) {
			t.Errorf("%q: got mode %q with error %v, want one of the two", text, mode, err)
		}
		if err == nil && !strings.Contains(text, "["+mode+"]") {
			t.Errorf("%q: got mode %q, which it doesn't say", text, mode)
		}
	})
}
