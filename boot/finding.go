package boot

import (
	"context"
	"path/filepath"

	"funlab.casa/attestation_exporter/finding"
)

// Findings says where the measured boot is read. What the next boot will measure is
// found anew at each reading, and is here only where the user named it.
func (s *Source) Findings(context.Context) ([]finding.Finding, error) {
	h := host{root: s.Root}
	found := []finding.Finding{finding.At("event-log", h.at(s.EventLog), finding.Whether(s.EventLogGiven))}
	for _, pattern := range s.Files {
		matches, err := filepath.Glob(h.at(pattern))
		found = append(found, finding.Matching("file", h.at(pattern), finding.Flag, len(matches), err))
	}
	if s.IMA != nil {
		found = append(found, finding.At("ima", s.IMA.Directory, finding.Default))
	}
	return found, nil
}
