package collector

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"funlab.casa/attestation_exporter/certs"
	"funlab.casa/attestation_exporter/tpm"
)

// tpmHealthy is a reading of a chip in order, of two banks, with a baseline that
// one PCR has left.
func tpmHealthy() tpm.Reading {
	updates := uint32(1050)
	reading := tpm.Reading{
		Source:     tpm.FromDevice,
		Boot:       "17.2",
		PCRUpdates: &updates,
		Properties: &tpm.Properties{Manufacturer: "IFX", Vendor: "SLB9670", Firmware: "7.85.17.51968", Revision: "1.38"},
		Clock:      &tpm.Clock{Running: 1500 * time.Millisecond, Resets: 17, Restarts: 2, Safe: true},
		Lockout:    &tpm.Lockout{Failures: 1, MaxFailures: 32},
		SelfTest:   tpm.SelfTestPassed,
		EKCertificates: []tpm.EKCertificate{
			{Index: 0x01c00002, Certificate: certs.Certificate{
				NotBefore: time.Date(2017, 1, 2, 3, 4, 5, 0, time.UTC),
				NotAfter:  time.Date(2032, 1, 2, 3, 4, 5, 0, time.UTC),
				Subject:   "CN=Infineon EK", Issuer: "CN=Infineon CA",
			}},
			{Index: 0x01c0000a, Failed: certs.Malformed},
		},
		Baseline: &tpm.Comparison{
			Created: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
			Matches: tpm.Select(tpm.NewPCRSet(0, 2, 7), tpm.SHA256),
			Differs: tpm.Select(tpm.NewPCRSet(4), tpm.SHA256),
		},
	}
	// All that a chip has: 8 to 16 and 23 move, and must not show.
	for index := range 24 {
		reading.PCRs = append(reading.PCRs, tpm.PCR{Bank: tpm.SHA256, Index: index, Digest: bytes.Repeat([]byte{0xa0 + byte(index)}, 32)})
	}
	reading.PCRs = append(reading.PCRs, tpm.PCR{Bank: 0x27, Index: 7, Digest: bytes.Repeat([]byte{0x07}, 32)})
	return reading
}

func TestTPM(t *testing.T) {
	broken := errors.New("TPM2_PCR_Read(sha256): TPM_RC_FAILURE")
	for _, test := range []struct {
		name    string
		reading tpm.Reading
		err     error
		want    error
	}{
		{"healthy", tpmHealthy(), nil, nil},
		{"locked_out", tpm.Reading{
			Source:  tpm.FromDevice,
			Clock:   &tpm.Clock{},
			Lockout: &tpm.Lockout{Failures: 32, MaxFailures: 32, LockedOut: true},
		}, nil, nil},
		{"failure_mode", tpm.Reading{
			Source:     tpm.FromDevice,
			Boot:       "0b1e7a52-6d5c-4f0e-9c0f-3a1f6a4b2c9d",
			Properties: &tpm.Properties{Manufacturer: "IFX"},
			SelfTest:   tpm.SelfTestFailed,
		}, broken, broken},
		{"self_test_to_be_done", tpm.Reading{Source: tpm.FromDevice, Properties: &tpm.Properties{Manufacturer: "IFX"}, SelfTest: tpm.SelfTestUnknown}, nil, nil},
		{"sysfs", tpm.Reading{
			Source: tpm.FromSysfs,
			Boot:   "0b1e7a52-6d5c-4f0e-9c0f-3a1f6a4b2c9d",
			PCRs:   []tpm.PCR{{Bank: tpm.SHA1, Index: 0, Digest: bytes.Repeat([]byte{1}, 20)}},
		}, nil, nil},
		{"unreachable", tpm.Reading{}, broken, broken},
		{"too_slow", tpm.Reading{Source: tpm.FromDevice}, context.DeadlineExceeded, context.DeadlineExceeded},
		{"absent", tpm.Reading{}, tpm.ErrAbsent, ErrNoData},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := NewTPM(func(context.Context) (tpm.Reading, error) { return test.reading, test.err })
			err := certificateCompare(t, c, filepath.Join("..", "testdata", "tpm", "exposed_"+test.name+".prom"))
			if !errors.Is(err, test.want) {
				t.Errorf("got error %v, want %v", err, test.want)
			}
		})
	}
}
