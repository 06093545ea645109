package luks

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"funlab.casa/attestation_exporter/finding"
)

func TestFindings(t *testing.T) {
	sysfs := t.TempDir()
	source := Source{Sysfs: sysfs}
	if got, err := source.Findings(t.Context()); got != nil || !errors.Is(err, ErrAbsent) {
		t.Errorf("nothing open: got %+v, %v, want %v", got, err, ErrAbsent)
	}
	for _, folder := range []string{"dm-0/dm", "dm-0/slaves/vd_absent"} {
		if err := os.MkdirAll(filepath.Join(sysfs, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(sysfs, "dm-0/dm/uuid"), []byte("CRYPT-LUKS2-0-data\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name    string
		devices []string
		want    finding.Finding
	}{
		{"found open", nil, finding.Finding{What: "device", Place: "/dev/vd_absent", From: sysfs, State: finding.Absent}},
		{"named", []string{sysfs}, finding.Finding{What: "device", Place: sysfs, From: finding.Flag, State: finding.There}},
	} {
		source.Devices = tt.devices
		if got, err := source.Findings(t.Context()); err != nil || !slices.Equal(got, []finding.Finding{tt.want}) {
			t.Errorf("%s: got %+v, %v, want %+v", tt.name, got, err, tt.want)
		}
	}
}
