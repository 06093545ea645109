package luks

import (
	"context"

	"funlab.casa/attestation_exporter/finding"
)

// Findings says which devices' headers are read. It returns ErrAbsent as Read does.
func (s Source) Findings(context.Context) ([]finding.Finding, error) {
	from := finding.Flag
	if len(s.Devices) == 0 {
		from = s.sysfs()
	}
	devices, err := s.devices()
	var found []finding.Finding
	for _, device := range devices {
		found = append(found, finding.At("device", device.Path, from))
	}
	return found, err
}
