package ima

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"funlab.casa/attestation_exporter/failure"
)

func TestRead(t *testing.T) {
	got, err := Source{Directory: "../testdata/ima"}.Read(t.Context())
	if want := (Reading{Measurements: 376}); got != want || err != nil {
		t.Errorf("got %+v, error %v, want %+v", got, err, want)
	}
}

func TestReadFails(t *testing.T) {
	write := func(name, count, violations string) string {
		directory := filepath.Join(t.TempDir(), name)
		err := errors.Join(
			os.Mkdir(directory, 0o700),
			os.WriteFile(filepath.Join(directory, "runtime_measurements_count"), []byte(count), 0o600),
		)
		if violations != "" {
			err = errors.Join(err, os.WriteFile(filepath.Join(directory, "violations"), []byte(violations), 0o600))
		}
		if err != nil {
			t.Fatal(err)
		}
		return directory
	}
	tests := []struct {
		name      string
		directory string
		absent    bool
		reason    failure.Reason
	}{
		{"no IMA", filepath.Join(t.TempDir(), "nothing"), true, failure.Internal},
		{"count is text", write("text", "many\n", "0\n"), false, failure.Malformed},
		{"count is negative", write("negative", "-1\n", "0\n"), false, failure.Malformed},
		{"empty", write("empty", "", "0\n"), false, failure.Malformed},
		{"violations missing", write("half", "7\n", ""), false, failure.Unreachable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Source{Directory: tt.directory}.Read(t.Context())
			if err == nil || errors.Is(err, ErrAbsent) != tt.absent || failure.Of(err) != tt.reason {
				t.Errorf("error: got %v, want absent %t, reason %s", err, tt.absent, tt.reason)
			}
		})
	}
}

func FuzzParseCount(f *testing.F) {
	f.Add("376\n")
	f.Fuzz(func(_ *testing.T, text string) {
		if _, err := parseCount(text); err != nil {
			return
		}
	})
}
