package certs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"time"
)

// maxBundleFile bounds a trust bundle, in bytes: room for ten thousand authorities.
const maxBundleFile = 16 << 20

const kindBundle = "bundle"

// BundleReading is what the files of trust bundles held at one moment.
type BundleReading struct {
	At      time.Time // the moment to judge them at
	Bundles []Bundle  // in the order of the configuration
	// Live is what the bundles are copies of, as far as somebody knows. Files
	// don't: a BundleSource leaves it empty.
	Live []LiveBundle `json:",omitempty"`
}

// A BundleSource reads trust bundles from files.
type BundleSource struct {
	files []File

	turn  chan struct{} // held by the reading that uses what follows
	cache *cache[parsedBundle]
	seen  sightings
	log   failureLog
}

// NewBundleSource returns an error for a file that is named twice. Paths are taken
// as they are, without patterns. When a bundle begins to fail or works again, that
// is written to logger.
func NewBundleSource(logger *slog.Logger, files []File) (*BundleSource, error) {
	s := &BundleSource{
		turn:  make(chan struct{}, 1),
		cache: newCache(maxBundleFile, decodeBundle),
		seen:  sightings{},
		log:   newFailureLog(logger),
	}
	for _, f := range files {
		f.Path = filepath.Clean(f.Path)
		if slices.ContainsFunc(s.files, func(o File) bool { return o.Path == f.Path }) {
			return nil, fmt.Errorf("trust bundle %s is given twice", f.Path)
		}
		s.files = append(s.files, f)
	}
	return s, nil
}

// Read reads the bundles that changed. It returns ErrAbsent where only optional
// ones are configured, and none is there.
func (s *BundleSource) Read(ctx context.Context) (BundleReading, error) {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return BundleReading{}, fmt.Errorf("wait for an earlier reading: %w", ctx.Err())
	}
	reading := BundleReading{At: time.Now()}
	for _, f := range s.files {
		if ctx.Err() != nil {
			return reading, fmt.Errorf("read trust bundles: %w", ctx.Err())
		}
		bundle, err := s.load(f)
		if errors.Is(err, ErrAbsent) {
			continue
		}
		s.log.note(kindBundle, f.Path, err)
		bundle.Name, bundle.Failed = f.Path, reasonOf(err)
		reading.Bundles = append(reading.Bundles, bundle)
	}
	if len(reading.Bundles) == 0 {
		return reading, ErrAbsent
	}
	return reading, nil
}

// load returns ErrAbsent for an optional file that isn't here. With any other error
// the bundle has what is known of it all the same.
func (s *BundleSource) load(f File) (Bundle, error) {
	parsed, modified, err := s.cache.load(f.Path)
	switch {
	case s.seen.excuse(f, err):
		return Bundle{}, ErrAbsent
	case err != nil:
		return Bundle{}, err
	}
	s.seen.add(f.Path)
	parsed.bundle.Modified = modified
	return parsed.bundle, parsed.err
}
