// Package tpm reads the state of a TPM 2.0: PCRs, clock, lockout, self-test,
// properties and EK certificates, and compares PCRs with a baseline.
//
// It sends commands that read and no others: it never starts, extends, clears or
// unseals, and tries no password but the empty one, where a wrong one can't count
// as an attack. The package does not know which PCR values
// are good, nor what was measured into them.
package tpm

import (
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"slices"
	"sync"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
)

// A Source is the TPM of one host.
type Source struct {
	// Device is a character device, or the Unix socket of an emulator. When the
	// user named it, DeviceGiven is true, and only this device will do: another
	// chip's PCRs must not appear in its place.
	Device      string
	DeviceGiven bool
	// Sysfs is the chip's folder in sysfs, for the case that Device can't be
	// opened. Empty: none.
	Sysfs string
	// BootID is the file with the kernel's id of this boot.
	BootID string
	// Selection names the PCRs to read. Those of the baseline are read in any
	// case.
	Selection Selection
	// Baseline is the file to compare with. It may be absent unless BaselineGiven
	// is true. Empty: none.
	Baseline      string
	BaselineGiven bool

	open opener // openDevice, unless a test says otherwise

	mu    sync.Mutex
	facts facts
}

type opener func(ctx context.Context, path string) (io.ReadWriteCloser, error)

// The places where a Linux host has its TPM.
const (
	DefaultDevice   = "/dev/tpmrm0"
	DefaultSysfs    = "/sys/class/tpm/tpm0"
	DefaultBootID   = "/proc/sys/kernel/random/boot_id"
	DefaultBaseline = "/etc/attestation_exporter/pcr-baseline.json"
)

// Read looks at the TPM once. It returns what it could read together with an
// error for what it could not, and ErrAbsent where there is no TPM 2.0.
func (s *Source) Read(ctx context.Context) (Reading, error) {
	reading, _, err := s.ReadAlso(ctx, nil)
	return reading, err
}

func (s *Source) read(ctx context.Context, want Selection) (Reading, error) {
	open := s.open
	if open == nil {
		open = openDevice
	}
	chip, err := openChip(ctx, s.Device, open)
	switch {
	case err == nil:
		defer func() { _ = chip.link.Close() }() // Nothing was written that a failure could lose.
		return s.readChip(ctx, chip, want)
	case s.DeviceGiven:
		return Reading{}, err
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		return s.readSysfs(ctx, want, err)
	}
	return Reading{}, err
}

// readChip asks the TPM: the clock first, because it tells which boot this is,
// and whether what is fixed for a boot is known already. A step that the TPM
// refuses costs only itself; when the TPM can't be talked to, the rest is spared.
func (s *Source) readChip(ctx context.Context, chip *chip, want Selection) (Reading, error) {
	tpm := chip.until(ctx)
	reading := Reading{Source: FromDevice}
	var fixed facts
	err := inOrder(
		func() (err error) { reading.Clock, err = readClock(tpm); return err },
		func() (err error) { reading.Boot, err = s.boot(reading.Clock); return err },
		func() (err error) { fixed, err = s.factsOf(reading.Boot, tpm); return err },
		func() (err error) {
			reading.PCRs, reading.PCRUpdates, err = readPCRs(tpm, want, fixed.banks)
			return err
		},
		func() (err error) { reading.Lockout, err = readLockout(tpm); return err },
		func() (err error) { reading.SelfTest, err = readSelfTest(tpm); return err },
	)
	reading.Properties, reading.EKCertificates = fixed.properties, fixed.ekCertificates
	reading.Commands = chip.commands
	return reading, err
}

// inOrder takes the steps one after the other and joins their errors. It stops
// when the TPM can't be talked to.
func inOrder(steps ...func() error) error {
	var failures []error
	for _, step := range steps {
		err := step()
		failures = append(failures, err)
		if isLinkError(err) {
			break
		}
	}
	return errors.Join(failures...)
}

// boot names the boot by the TPM's clock, or by the kernel where that could not
// be read.
func (s *Source) boot(clock *Clock) (string, error) {
	if clock != nil {
		return clock.boot(), nil
	}
	return s.kernelBoot()
}

// readPCRs reads the wanted PCRs of all banks. The allocated banks are nil where
// the TPM didn't tell them.
func readPCRs(chip transport.TPM, want, allocated Selection) (pcrs []PCR, updates *uint32, err error) {
	var steps []func() error
	for _, bank := range want.Banks() {
		steps = append(steps, func() error {
			if allocated != nil && allocated[bank] == 0 {
				return unallocated(bank, allocated.Banks())
			}
			found, counter, err := readBank(chip, bank, want[bank])
			pcrs = append(pcrs, found...)
			if counter != nil {
				updates = counter
			}
			return err
		})
	}
	err = inOrder(steps...)
	return pcrs, updates, err
}

func sortPCRs(pcrs []PCR) {
	slices.SortFunc(pcrs, func(a, b PCR) int {
		return cmp.Or(cmp.Compare(a.Bank, b.Bank), cmp.Compare(a.Index, b.Index))
	})
}

// facts are what stays as it is until the TPM's next reset.
type facts struct {
	boot           string
	banks          Selection
	properties     *Properties
	ekCertificates []EKCertificate
}

// factsOf returns the facts of a boot. They are remembered once all of them could
// be read.
func (s *Source) factsOf(boot string, chip transport.TPM) (facts, error) {
	s.mu.Lock()
	known := s.facts
	s.mu.Unlock()
	if boot != "" && boot == known.boot {
		return known, nil
	}
	fixed, err := readFacts(chip)
	if err != nil {
		return fixed, err
	}
	fixed.boot = boot
	s.mu.Lock()
	defer s.mu.Unlock()
	s.facts = fixed
	return fixed, nil
}

func readFacts(chip transport.TPM) (facts, error) {
	var fixed facts
	var found properties
	err := inOrder(
		func() (err error) { fixed.banks, err = readBanks(chip); return err },
		func() (err error) {
			found, err = readProperties(chip, tpm2.TPMPTRevision, tpm2.TPMPTNVBufferMax)
			return err
		},
		func() (err error) {
			fixed.ekCertificates, err = readEKCertificates(chip, found[tpm2.TPMPTNVBufferMax])
			return err
		},
	)
	if len(found) > 0 {
		described := fixedProperties(found)
		fixed.properties = &described
	}
	return fixed, err
}
