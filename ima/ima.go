// Package ima reads how much Linux's Integrity Measurement Architecture has
// measured.
//
// It never reads the list of measurements, which can have 100 MB and which the
// kernel formats anew for each reader; so it does not know what was measured.
package ima

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"funlab.casa/attestation_exporter/failure"
)

// DefaultDirectory is where securityfs shows IMA.
const DefaultDirectory = "/sys/kernel/security/ima"

// ErrAbsent says that this kernel measures nothing.
var ErrAbsent = errors.New("no IMA")

// A Source is one kernel's IMA.
type Source struct {
	Directory string
}

// A Reading has the counts since boot.
type Reading struct {
	// Measurements is the number of entries in the list, violations included
	// (runtime_measurements_count). A file is measured once for each content.
	Measurements uint64
	// Violations is how often a file was open for reading and for writing at
	// once, so that what was measured may not be what was used (violations).
	Violations uint64
}

// Read reads both counts.
func (s Source) Read(context.Context) (Reading, error) {
	measurements, err := s.count("runtime_measurements_count")
	if errors.Is(err, fs.ErrNotExist) {
		return Reading{}, ErrAbsent
	}
	if err != nil {
		return Reading{}, err
	}
	violations, err := s.count("violations")
	if err != nil {
		return Reading{}, err
	}
	return Reading{Measurements: measurements, Violations: violations}, nil
}

func (s Source) count(name string) (uint64, error) {
	file, err := os.Open(filepath.Join(s.Directory, name))
	if err != nil {
		return 0, err
	}
	defer file.Close() //nolint:errcheck // nothing was written
	text, err := io.ReadAll(io.LimitReader(file, 64))
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", file.Name(), err)
	}
	count, err := parseCount(string(text))
	if err != nil {
		return 0, fmt.Errorf("%s: %w", file.Name(), err)
	}
	return count, nil
}

func parseCount(text string) (uint64, error) {
	count, err := strconv.ParseUint(strings.TrimSpace(text), 10, 64)
	if err != nil {
		return 0, failure.Errorf(failure.Malformed, "not a count")
	}
	return count, nil
}
