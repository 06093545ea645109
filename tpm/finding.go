package tpm

import (
	"context"

	"funlab.casa/attestation_exporter/finding"
)

// Findings says where the TPM is read. The chip itself is left alone.
func (s *Source) Findings(context.Context) ([]finding.Finding, error) {
	found := []finding.Finding{finding.At("device", s.Device, finding.Whether(s.DeviceGiven))}
	if !s.DeviceGiven {
		found = append(found, finding.At("sysfs", s.Sysfs, finding.Default))
	}
	return append(found, finding.At("baseline", s.Baseline, finding.Whether(s.BaselineGiven))), nil
}
