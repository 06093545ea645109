package certs

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
)

// maxCertificateFile bounds a file of certificates, in bytes. The authorities that
// a distribution trusts take a quarter of it.
const maxCertificateFile = 1 << 20

// Config names what a Source reads.
type Config struct {
	Files     []File // patterns
	Chains    []Chain
	Endpoints []Endpoint
	// Named looks at each reading for files, not patterns, that the configuration of
	// others names; nil names none. With an error it returns what it found besides.
	Named func(context.Context) ([]File, error)
}

// A Source reads certificates. It remembers what the next reading should not have
// to do again, and which files it has seen.
type Source struct {
	files  []File
	chains []Chain
	named  func(context.Context) ([]File, error)
	probes []*probe
	prober *prober

	turn   chan struct{} // held by the reading that uses what follows
	cache  *cache[contents]
	seen   sightings
	others []File // that were named at the last reading
	proofs map[Chain]proof
	log    failureLog
}

// NewSource returns an error for a configuration that no reading can fulfil. When
// something begins to fail or works again, that is written to logger.
func NewSource(logger *slog.Logger, config Config) (*Source, error) {
	s := &Source{
		named:  config.Named,
		prober: newProber(),
		turn:   make(chan struct{}, 1),
		cache:  newCache(maxCertificateFile, contentsOf),
		seen:   sightings{},
		proofs: map[Chain]proof{},
		log:    newFailureLog(logger),
	}
	for _, f := range config.Files {
		if _, err := filepath.Match(f.Path, ""); err != nil {
			return nil, fmt.Errorf("file pattern %q: %w", f.Path, err)
		}
		s.files = append(s.files, f)
	}
	for _, c := range config.Chains {
		c.File, c.CAFile = filepath.Clean(c.File), filepath.Clean(c.CAFile)
		if slices.ContainsFunc(s.chains, func(o Chain) bool { return o.File == c.File && o.CAFile == c.CAFile }) {
			return nil, fmt.Errorf("chain %s:%s is given twice", c.File, c.CAFile)
		}
		s.chains = append(s.chains, c)
	}
	for _, e := range config.Endpoints {
		if slices.ContainsFunc(s.probes, func(o *probe) bool { return o.endpoint.Name() == e.Name() }) {
			return nil, fmt.Errorf("endpoint %s is given twice", e.Name())
		}
		if e.CAFile != "" {
			e.CAFile = filepath.Clean(e.CAFile)
		}
		s.probes = append(s.probes, &probe{endpoint: e})
	}
	return s, nil
}

// Read reads the files that changed, looks at the endpoints that are due, and
// returns what it has when ctx ends. It returns ErrAbsent where nothing is
// configured but what is optional, and nothing of that is there.
func (s *Source) Read(ctx context.Context) (Reading, error) {
	if err := s.wait(ctx); err != nil {
		return Reading{}, err
	}
	defer func() { <-s.turn }()
	r := round{
		source:   s,
		loads:    make(map[string]*loaded, len(s.seen)),
		findings: make(map[what]Load, len(s.seen)),
	}
	running := r.beginProbes(ctx)
	err := r.readFiles(ctx)
	r.endProbes(ctx, running)

	reading := r.reading()
	if err == nil && len(s.probes) == 0 && len(reading.Loads) == 0 {
		return reading, ErrAbsent
	}
	return reading, err
}

// wait takes the turn. A turn that is free is taken also when ctx has ended: the
// last outcomes of endpoints cost no time.
func (s *Source) wait(ctx context.Context) error {
	select {
	case s.turn <- struct{}{}:
		return nil
	default:
	}
	select {
	case s.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for an earlier reading: %w", ctx.Err())
	}
}
