package collector

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"funlab.casa/attestation_exporter/boot"
	"funlab.casa/attestation_exporter/ima"
	"funlab.casa/attestation_exporter/tpm"
)

// bootHealthy is a host whose next boot will measure another kernel.
func bootHealthy() boot.Reading {
	forecast := true
	reading := boot.Reading{
		Log:        &boot.Log{Events: 58},
		SecureBoot: &boot.SecureBoot{Source: boot.FromLog, Enabled: true},
		Files: []boot.File{
			{Path: "/boot/efi/EFI/debian/shimx64.efi", PCR: 4, Matches: true},
			{Path: "/boot/efi/EFI/debian/grubx64.efi", PCR: 4, Matches: true},
			{Path: "/boot/vmlinuz-6.1.0-57-amd64", PCR: 4},
			{Path: "/sys/firmware/efi/efivars/dbx-d719b2cb-3d3a-4596-a3bc-dad00e67656f", PCR: 7, Matches: true},
		},
		Forecast: &forecast,
		IMA:      &ima.Reading{Measurements: 379, Violations: 1},
	}
	for pcr := range 8 {
		reading.Log.Matches = append(reading.Log.Matches, tpm.LogMatch{Bank: tpm.SHA256, PCR: pcr, Matches: pcr != 5})
	}
	return reading
}

func TestBoot(t *testing.T) {
	broken := errors.New("open binary_bios_measurements: permission denied")
	no := false
	for _, test := range []struct {
		name    string
		reading boot.Reading
		err     error
		want    error
	}{
		{"healthy", bootHealthy(), nil, nil},
		{"without_log", boot.Reading{
			SecureBoot: &boot.SecureBoot{Source: boot.FromVariable},
			Forecast:   &no,
		}, nil, nil},
		{"ima_only", boot.Reading{IMA: &ima.Reading{}}, nil, nil},
		{"partly_broken", boot.Reading{SecureBoot: &boot.SecureBoot{Source: boot.FromVariable, Enabled: true}}, broken, broken},
		{"named_twice", boot.Reading{Files: []boot.File{
			{Path: "/boot/a\xff", PCR: 4, Matches: true}, {Path: "/boot/a\xff", PCR: 4}, {Path: "/boot/a\xff", PCR: 7, Matches: true},
		}, Forecast: &no}, nil, nil},
		{"unreachable", boot.Reading{}, broken, broken},
		{"too_slow", boot.Reading{}, context.DeadlineExceeded, context.DeadlineExceeded},
		{"absent", boot.Reading{}, boot.ErrAbsent, ErrNoData},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := NewBoot(func(context.Context) (boot.Reading, error) { return test.reading, test.err })
			err := certificateCompare(t, c, filepath.Join("..", "testdata", "boot", "exposed_"+test.name+".prom"))
			if !errors.Is(err, test.want) {
				t.Errorf("got error %v, want %v", err, test.want)
			}
		})
	}
}
