// Package boot reads how a host was started, and compares it with what the next
// start will measure.
//
// It says whether the files and variables that are in place now are those that
// were measured. It does not know what a firmware update would change, nor what
// GRUB's menu is told by hand, nor the PCRs that boot loaders and kernels extend
// on their own account (8 to 15).
package boot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"funlab.casa/attestation_exporter/failure"
	"funlab.casa/attestation_exporter/ima"
	"funlab.casa/attestation_exporter/tpm"
)

// DefaultEventLog is where the kernel hands on the firmware's log.
const DefaultEventLog = "/sys/kernel/security/tpm0/binary_bios_measurements"

// ErrAbsent says that this host has no log, no EFI variables and no IMA.
var ErrAbsent = errors.New("no measured boot")

// A Source is one host's boot.
type Source struct {
	// Root is put in front of every path. It is empty but in tests.
	Root string
	// EventLog is the firmware's log. It may be absent unless EventLogGiven.
	EventLog      string
	EventLogGiven bool
	// Files are patterns of the applications that the next boot will measure into
	// PCR 4. If there are none, they are found by following the boot entries, and
	// the variables of Secure Boot are compared, too.
	Files []string
	// Banks are the PCR banks to compare the log in. A log without any of them is
	// compared in its own.
	Banks []tpm.Bank
	// PCRs returns the chip's values. It is nil on a host without a chip.
	PCRs func(context.Context, tpm.Selection) (tpm.Values, error)
	// IMA is read along. A nil one is not.
	IMA *ima.Source
	// Logger is told at debug level why there is no forecast.
	Logger *slog.Logger

	memory Memory
}

// A Reading is how the host was started.
type Reading struct {
	// Log is nil where the firmware left none, which is normal without Secure
	// Boot: GRUB then starts Linux without the EFI stub that would hand it on.
	Log        *Log
	SecureBoot *SecureBoot
	// Files are what the next boot measures, as far as could be found out.
	Files []File
	// Forecast tells whether Files is the whole chain up to the kernel. It is nil
	// where nothing was measured at all.
	Forecast *bool
	IMA      *ima.Reading
}

// A Log is the verdict on the firmware's log.
type Log struct {
	Events  int // but for the header of the crypto-agile form
	Matches []tpm.LogMatch
}

// SecureBoot is the state of Secure Boot in this boot.
type SecureBoot struct {
	Source  string // FromLog or FromVariable
	Enabled bool
}

// Where the state of Secure Boot was read.
const (
	FromLog      = "log"    // as it was measured
	FromVariable = "efivar" // as the firmware says now
)

// Read returns what it could read together with an error for what it could not.
func (s *Source) Read(ctx context.Context) (Reading, error) {
	h := host{s.Root, &s.memory}
	log, logErr := s.readLog()
	chip, chipErr := s.chip(ctx, tpm.Select(tpm.NewPCRSet(0, 1, 2, 3, 4, 5, 6, 7), s.banks(log)...))
	var reading Reading
	if log != nil {
		reading.Log = &Log{Events: len(log.Events), Matches: log.Compare(chip)}
	}
	secureBoot, secureBootErr := h.secureBoot(log)
	reading.SecureBoot = secureBoot
	var filesErr error
	if log != nil || len(chip) > 0 {
		reading.Files, reading.Forecast, filesErr = s.forecast(h, log, chip)
	}
	measured, imaErr := s.readIMA(ctx)
	reading.IMA = measured
	err := errors.Join(logErr, chipErr, secureBootErr, filesErr, imaErr)
	if err == nil && reading.Log == nil && reading.SecureBoot == nil && reading.Forecast == nil && reading.IMA == nil {
		return Reading{}, ErrAbsent
	}
	return reading, err
}

// Measured returns the values by which the policies over a selection of PCRs are
// judged. A log that can't be parsed counts for none: Read tells of it.
func (s *Source) Measured(ctx context.Context, selection tpm.Selection) (tpm.Measured, error) {
	log, err := s.readLog()
	if err != nil && failure.Of(err) != failure.Malformed {
		return tpm.Measured{}, err
	}
	chip, chipErr := s.chip(ctx, selection)
	measured := tpm.Measured{Boot: chip, Chip: chip}
	if log != nil {
		measured.Boot = chip.Overlay(log.Replay().Firmware())
	}
	switch {
	case measured.Boot.Cover(selection):
		return measured, nil
	case chipErr != nil:
		return measured, chipErr
	}
	return measured, failure.Errorf(failure.Unreachable, "the TPM has not got all PCRs that a binding names")
}

// readLog returns nil where there is no log, or an empty one.
func (s *Source) readLog() (*tpm.Log, error) {
	raw, err := host{root: s.Root}.read(s.EventLog, tpm.MaxLog)
	if errors.Is(err, fs.ErrNotExist) && !s.EventLogGiven {
		return nil, nil
	}
	if err != nil || len(raw) == 0 {
		return nil, err
	}
	log, err := s.memory.parse(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.EventLog, err)
	}
	return log, nil
}

// banks returns the banks to ask the chip for.
func (s *Source) banks(log *tpm.Log) []tpm.Bank {
	if log == nil {
		return s.Banks
	}
	both := slices.DeleteFunc(slices.Clone(s.Banks), func(bank tpm.Bank) bool { return !slices.Contains(log.Banks, bank) })
	if len(both) == 0 {
		return log.Banks
	}
	return both
}

func (s *Source) chip(ctx context.Context, selection tpm.Selection) (tpm.Values, error) {
	if s.PCRs == nil {
		return nil, nil
	}
	values, err := s.PCRs(ctx, selection)
	if errors.Is(err, tpm.ErrAbsent) {
		return nil, nil
	}
	return values.Pick(selection), err
}

func (s *Source) readIMA(ctx context.Context) (*ima.Reading, error) {
	if s.IMA == nil {
		return nil, nil
	}
	reading, err := s.IMA.Read(ctx)
	if errors.Is(err, ima.ErrAbsent) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &reading, nil
}

// secureBoot prefers the log, which the chip vouches for.
func (h host) secureBoot(log *tpm.Log) (*SecureBoot, error) {
	if log != nil {
		for _, variable := range measuredVariables(*log) {
			if variable.name == "SecureBoot" && len(variable.data) == 1 {
				return &SecureBoot{FromLog, variable.data[0] == 1}, nil
			}
		}
	}
	enabled, known, err := h.secureBootVariable()
	if err != nil || !known {
		return nil, err
	}
	return &SecureBoot{FromVariable, enabled}, nil
}

// forecast compares what the next boot will measure with what this one measured.
// What stands in the way of a forecast is no failure, unless it is a right that
// this process should have: a boot partition may be unmounted for good reason.
func (s *Source) forecast(h host, log *tpm.Log, chip tpm.Values) ([]File, *bool, error) {
	files, obstacle := s.applications(h, log, chip)
	var err error
	if log != nil && len(s.Files) == 0 {
		var variables []File
		variables, err = h.changedVariables(measuredVariables(*log))
		files = append(files, variables...)
	}
	if obstacle != nil && s.Logger != nil {
		s.Logger.Debug("No forecast of the next boot", "err", obstacle)
	}
	if obstacle != nil && failure.Of(obstacle) == failure.Permission {
		err = errors.Join(obstacle, err)
	}
	complete := obstacle == nil
	return files, &complete, err
}

// applications compares the applications of the next boot.
func (s *Source) applications(h host, log *tpm.Log, chip tpm.Values) ([]File, error) {
	bank, err := s.imageBank(log, chip)
	if err != nil {
		return nil, err
	}
	next, err := s.fingerprints(h, bank)
	if err != nil {
		return nil, err
	}
	if log == nil {
		measured, ok := next.reproduce(bank, chip[bank][bootManagerPCR])
		if !ok {
			return nil, errors.New("there is no log, and the boot files don't give PCR 4")
		}
		return next.compare(measured), nil
	}
	if !log.Explains(bank, bootManagerPCR, chip) {
		return nil, errors.New("the log does not give PCR 4")
	}
	return next.compare(measuredApplications(*log, bank)), nil
}

// imageBank chooses the bank whose digests of applications are compared.
func (s *Source) imageBank(log *tpm.Log, chip tpm.Values) (tpm.Bank, error) {
	for _, bank := range []tpm.Bank{tpm.SHA256, tpm.SHA384, tpm.SHA1} {
		if log != nil && slices.Contains(log.Banks, bank) {
			return bank, nil
		}
		if log == nil && chip[bank][bootManagerPCR] != nil {
			return bank, nil
		}
	}
	return 0, errors.New("PCR 4 has no digest that can be compared")
}

// fingerprints finds the applications of the next boot and their digests.
func (s *Source) fingerprints(h host, bank tpm.Bank) (fingerprints, error) {
	next, err := s.chain(h)
	if err != nil {
		return fingerprints{}, err
	}
	prints := fingerprints{optional: next.optional}
	for _, loader := range next.loaders {
		digest, err := h.digest(loader, bank.Hash())
		if err != nil {
			return fingerprints{}, fmt.Errorf("%s: %w", loader, err)
		}
		prints.loaders = append(prints.loaders, fingerprint{loader, digest})
	}
	if next.kernel == "" {
		return prints, nil
	}
	digest, err := h.digest(next.kernel, bank.Hash())
	if err != nil {
		return fingerprints{}, fmt.Errorf("%s: %w", next.kernel, err)
	}
	prints.kernel = &fingerprint{next.kernel, digest}
	if running := h.runningKernel(next.kernel); running != "" {
		if digest, err := h.digest(running, bank.Hash()); err == nil {
			prints.running = &fingerprint{running, digest}
		}
	}
	return prints, nil
}

// chain returns the files that the user named, or finds the next boot's.
func (s *Source) chain(h host) (chain, error) {
	if len(s.Files) == 0 {
		return h.nextBoot()
	}
	var c chain
	for _, pattern := range s.Files {
		found, err := filepath.Glob(h.at(pattern))
		if err != nil {
			return chain{}, fmt.Errorf("pattern %q: %w", pattern, err)
		}
		if len(found) == 0 {
			return chain{}, fmt.Errorf("pattern %q: %w", pattern, fs.ErrNotExist)
		}
		for _, file := range found[:min(len(found), maxFiles)] {
			c.loaders = append(c.loaders, strings.TrimPrefix(file, s.Root))
		}
	}
	return c, nil
}

const maxCommandLine = 64 << 10

// runningKernel returns the file that GRUB says it loaded this boot's kernel
// from, in the folder of the next one's.
func (h host) runningKernel(next string) string {
	line, err := h.read("/proc/cmdline", maxCommandLine)
	if err != nil {
		return ""
	}
	for _, word := range strings.Fields(string(line)) {
		if image, ok := strings.CutPrefix(word, "BOOT_IMAGE="); ok {
			return filepath.Join(filepath.Dir(next), path.Base(image))
		}
	}
	return ""
}
