package tpm

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"time"

	"funlab.casa/attestation_exporter/failure"
)

const (
	baselineVersion = 1
	maxBaselineSize = 64 << 10
)

// A Baseline is what somebody once found the PCRs to be, and called good.
type Baseline struct {
	Created time.Time
	PCRs    []PCR
}

// A Comparison says which PCRs of a baseline still have the value they had. A PCR
// of the baseline that could not be read is in neither set.
type Comparison struct {
	Created time.Time
	Matches Selection
	Differs Selection
}

// baselineFile is a baseline's form on disk. The keys of PCRs are bank names,
// then indices.
type baselineFile struct {
	Version int                          `json:"version"`
	Created time.Time                    `json:"created"`
	PCRs    map[string]map[string]Digest `json:"pcrs"`
}

// ParseBaseline reads a baseline file. It refuses whatever Write wouldn't write: a
// typing error must not turn into a PCR that nobody compares.
func ParseBaseline(content []byte) (Baseline, error) {
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.DisallowUnknownFields()
	var file baselineFile
	if err := decoder.Decode(&file); err != nil {
		return Baseline{}, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return Baseline{}, errors.New("text after the end of the baseline")
	}
	if file.Version != baselineVersion {
		return Baseline{}, fmt.Errorf("version %d, want %d", file.Version, baselineVersion)
	}
	if file.Created.IsZero() {
		return Baseline{}, errors.New("no time of creation")
	}
	baseline := Baseline{Created: file.Created}
	for bankName, pcrs := range file.PCRs {
		for indexName, digest := range pcrs {
			pcr, err := parseBaselinePCR(bankName, indexName, digest)
			if err != nil {
				return Baseline{}, err
			}
			baseline.PCRs = append(baseline.PCRs, pcr)
		}
	}
	if len(baseline.PCRs) == 0 {
		return Baseline{}, errors.New("no PCRs")
	}
	sortPCRs(baseline.PCRs)
	return baseline, nil
}

func parseBaselinePCR(bankName, indexName string, digest Digest) (PCR, error) {
	bank, err := ParseBank(bankName)
	if err != nil {
		return PCR{}, err
	}
	index, err := parsePCR(indexName)
	if err != nil {
		return PCR{}, err
	}
	if !bank.fits(len(digest)) {
		return PCR{}, fmt.Errorf("bank %s, PCR %d: digest of %d bytes", bank, index, len(digest))
	}
	return PCR{Bank: bank, Index: index, Digest: digest}, nil
}

// Write writes the baseline as a file that ParseBaseline reads.
func (b Baseline) Write(w io.Writer) error {
	file := baselineFile{Version: baselineVersion, Created: b.Created, PCRs: map[string]map[string]Digest{}}
	for _, pcr := range b.PCRs {
		bank := pcr.Bank.String()
		if file.PCRs[bank] == nil {
			file.PCRs[bank] = map[string]Digest{}
		}
		file.PCRs[bank][strconv.Itoa(pcr.Index)] = pcr.Digest
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(file)
}

// Selection returns the PCRs that the baseline holds.
func (b Baseline) Selection() Selection {
	selection := Selection{}
	for _, pcr := range b.PCRs {
		selection[pcr.Bank] |= NewPCRSet(pcr.Index)
	}
	return selection
}

// Compare holds today's PCRs against the baseline.
func (b Baseline) Compare(today []PCR) Comparison {
	now := ValuesOf(today)
	comparison := Comparison{Created: b.Created, Matches: Selection{}, Differs: Selection{}}
	for _, then := range b.PCRs {
		digest, ok := now[then.Bank][then.Index]
		switch {
		case !ok:
		case bytes.Equal(digest, then.Digest):
			comparison.Matches[then.Bank] |= NewPCRSet(then.Index)
		default:
			comparison.Differs[then.Bank] |= NewPCRSet(then.Index)
		}
	}
	return comparison
}

// loadBaseline returns an empty baseline where there is no file and nobody named
// one.
func (s *Source) loadBaseline() (Baseline, error) {
	if s.Baseline == "" {
		return Baseline{}, nil
	}
	content, err := readSmall(s.Baseline, maxBaselineSize)
	if errors.Is(err, fs.ErrNotExist) && !s.BaselineGiven {
		return Baseline{}, nil
	}
	if err != nil {
		return Baseline{}, fmt.Errorf("PCR baseline: %w", err)
	}
	baseline, err := ParseBaseline(content)
	if err != nil {
		return Baseline{}, failure.Errorf(failure.Malformed, "PCR baseline %s: %w", s.Baseline, err)
	}
	return baseline, nil
}
