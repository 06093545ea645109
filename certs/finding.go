package certs

import (
	"context"
	"slices"

	"funlab.casa/attestation_exporter/finding"
)

// Findings says which files are read and which endpoints are looked at. A path that
// several name is told once, with who has the last word on it.
func (s *Source) Findings(ctx context.Context) ([]finding.Finding, error) {
	var found []finding.Finding
	for _, f := range s.files {
		found = append(found, f.finding(ctx))
	}
	named, err := s.namedFindings(ctx)
	found = append(found, named...)
	for _, c := range s.chains {
		from := finding.Whether(!c.Optional)
		found = append(found, finding.At("chain", c.File, from), finding.At("chain", c.CAFile, from))
	}
	found = oncePerPlace(found)
	for _, p := range s.probes {
		found = append(found, finding.Named("endpoint", p.endpoint.Name(), finding.Flag))
		if ca := p.endpoint.CAFile; ca != "" {
			found = append(found, finding.At("endpoint", ca, finding.Flag))
		}
	}
	return found, err
}

func (s *Source) namedFindings(ctx context.Context) ([]finding.Finding, error) {
	if s.named == nil {
		return nil, nil
	}
	files, err := s.named(ctx)
	found := make([]finding.Finding, 0, len(files))
	for _, f := range files {
		found = append(found, finding.At("named", f.Path, f.From))
	}
	return found, err
}

// oncePerPlace keeps the first of those that name a place, unless a later one has more
// of a say.
func oncePerPlace(found []finding.Finding) []finding.Finding {
	var kept []finding.Finding
	for _, f := range found {
		at := slices.IndexFunc(kept, func(k finding.Finding) bool { return k.Place == f.Place })
		switch {
		case at < 0:
			kept = append(kept, f)
		case say(f.From) > say(kept[at].From):
			kept[at] = f
		}
	}
	return kept
}

// say orders who named a place: the user has the last word, then others' configuration.
func say(from string) int {
	switch from {
	case finding.Flag:
		return 2
	case finding.Default:
		return 0
	}
	return 1
}

func (f File) finding(ctx context.Context) finding.Finding {
	from := finding.Whether(!f.Optional)
	if !hasMeta(f.Path) {
		return finding.At("file", f.Path, from)
	}
	matches, err := glob(ctx, f.Path, maxMatches)
	return finding.Matching("file", f.Path, from, len(matches), err)
}
