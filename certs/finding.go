package certs

import (
	"context"

	"funlab.casa/attestation_exporter/finding"
)

// Findings says which files are read and which endpoints are looked at. What is
// optional was named by nobody.
func (s *Source) Findings(ctx context.Context) ([]finding.Finding, error) {
	var found []finding.Finding
	for _, f := range s.files {
		found = append(found, f.finding(ctx))
	}
	for _, c := range s.chains {
		from := finding.Whether(!c.Optional)
		found = append(found, finding.At("chain", c.File, from), finding.At("chain", c.CAFile, from))
	}
	for _, p := range s.probes {
		found = append(found, finding.Named("endpoint", p.endpoint.Name(), finding.Flag))
		if ca := p.endpoint.CAFile; ca != "" {
			found = append(found, finding.At("endpoint", ca, finding.Flag))
		}
	}
	return found, nil
}

func (f File) finding(ctx context.Context) finding.Finding {
	from := finding.Whether(!f.Optional)
	if !hasMeta(f.Path) {
		return finding.At("file", f.Path, from)
	}
	matches, err := glob(ctx, f.Path, maxMatches)
	return finding.Matching("file", f.Path, from, len(matches), err)
}
