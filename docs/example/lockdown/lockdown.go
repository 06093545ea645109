// Package lockdown reads how far the kernel is locked down against its own root
// user. It is CONTRIBUTING.md's worked example and no part of the exporter. It
// does not know which mode a host should be in.
package lockdown

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"funlab.casa/attestation_exporter/failure"
	"funlab.casa/attestation_exporter/finding"
)

// DefaultFile is where securityfs shows the modes.
const DefaultFile = "/sys/kernel/security/lockdown"

// ErrAbsent says that this kernel has no lockdown, or that securityfs isn't
// mounted.
var ErrAbsent = errors.New("no kernel lockdown")

// maxSize is far above the three short words that the kernel has.
const maxSize = 256

// A Source is one kernel's file.
type Source struct {
	File string
}

// A Reading is one look at the file.
type Reading struct {
	// Mode is the mode in force, in the kernel's own word: none, integrity or
	// confidentiality in Linux 6.
	Mode string
}

// Findings says where the mode is read.
func (s Source) Findings(context.Context) ([]finding.Finding, error) {
	return []finding.Finding{finding.At("file", s.File, finding.Default)}, nil
}

// Read reads the mode in force.
func (s Source) Read(context.Context) (Reading, error) {
	file, err := os.Open(s.File)
	if errors.Is(err, fs.ErrNotExist) {
		return Reading{}, ErrAbsent
	}
	if err != nil {
		return Reading{}, err
	}
	defer file.Close() //nolint:errcheck // nothing was written
	text, err := io.ReadAll(io.LimitReader(file, maxSize))
	if err != nil {
		return Reading{}, fmt.Errorf("read %s: %w", s.File, err)
	}
	mode, err := parse(string(text))
	if err != nil {
		return Reading{}, fmt.Errorf("%s: %w", s.File, err)
	}
	return Reading{Mode: mode}, nil
}

// parse takes the one word in brackets. A mode that we have never heard of is
// returned as it is.
func parse(text string) (string, error) {
	mode := ""
	for word := range strings.FieldsSeq(text) {
		inner, found := strings.CutPrefix(word, "[")
		if !found {
			continue
		}
		inner, found = strings.CutSuffix(inner, "]")
		if !found || inner == "" || mode != "" {
			return "", failure.Errorf(failure.Malformed, "not one mode in brackets")
		}
		mode = inner
	}
	if mode == "" {
		return "", failure.Errorf(failure.Malformed, "no mode in brackets")
	}
	return mode, nil
}
