package tpm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"funlab.casa/attestation_exporter/failure"
)

// readSysfs reads the files of the kernel's TPM class
// (Documentation/ABI/stable/sysfs-class-tpm), which everybody may read: PCRs, and
// nothing else that a TPM 2.0 knows. unopened says why there is no device.
func (s *Source) readSysfs(ctx context.Context, want Selection, unopened error) (Reading, error) {
	banks, err := sysfsBanks(s.Sysfs)
	switch {
	case errors.Is(err, ErrAbsent), errors.Is(err, fs.ErrNotExist) && errors.Is(unopened, fs.ErrNotExist):
		return Reading{}, fmt.Errorf("%w: %w", ErrAbsent, unopened)
	case errors.Is(err, fs.ErrNotExist):
		return Reading{}, unopened
	case err != nil:
		return Reading{}, errors.Join(unopened, err)
	case len(banks) == 0:
		return Reading{}, fmt.Errorf("%w; and the kernel shows no PCRs in %s", unopened, s.Sysfs)
	}
	boot, bootErr := s.kernelBoot()
	reading := Reading{Source: FromSysfs, Boot: boot}
	failures := []error{bootErr}
	for _, bank := range want.Banks() {
		if !slices.Contains(banks, bank) {
			failures = append(failures, unallocated(bank, banks))
			continue
		}
		pcrs, asked, err := readSysfsBank(ctx, s.Sysfs, bank, want[bank])
		reading.PCRs = append(reading.PCRs, pcrs...)
		reading.Commands += asked
		failures = append(failures, err)
	}
	return reading, errors.Join(failures...)
}

// readSysfsBank reads PCRs until ctx ends, and returns how many it asked for: the
// kernel asks the TPM for each.
func readSysfsBank(ctx context.Context, folder string, bank Bank, want PCRSet) (pcrs []PCR, asked int, err error) {
	var failures []error
	for index := range want.All() {
		if err := ctx.Err(); err != nil {
			return pcrs, asked, err
		}
		asked++
		digest, err := readSysfsPCR(folder, bank, index)
		if err != nil {
			failures = append(failures, err)
			continue
		}
		pcrs = append(pcrs, PCR{Bank: bank, Index: index, Digest: digest})
	}
	return pcrs, asked, errors.Join(failures...)
}

// sysfsBanks returns the banks that the kernel shows, sorted: the allocated ones.
// A chip of version 1 counts as absent; kernels that don't tell the version show
// PCR folders for version 2 only.
func sysfsBanks(folder string) ([]Bank, error) {
	if folder == "" {
		return nil, fs.ErrNotExist
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	version, err := readSmall(filepath.Join(folder, "tpm_version_major"), 16)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if string(bytes.TrimSpace(version)) == "1" {
		return nil, ErrAbsent
	}
	var banks []Bank
	for _, entry := range entries {
		name, ok := strings.CutPrefix(entry.Name(), "pcr-")
		if !ok {
			continue
		}
		if bank, err := ParseBank(name); err == nil {
			banks = append(banks, bank)
		}
	}
	slices.Sort(banks)
	return banks, nil
}

func readSysfsPCR(folder string, bank Bank, index int) (Digest, error) {
	path := filepath.Join(folder, "pcr-"+bank.String(), strconv.Itoa(index))
	content, err := readSmall(path, 2*maxDigest+1)
	if err != nil {
		return nil, err
	}
	digest, err := parseSysfsPCR(bank, content)
	if err != nil {
		return nil, failure.Errorf(failure.Malformed, "%s: %w", path, err)
	}
	return digest, nil
}

// parseSysfsPCR reads the one line of such a file: upper-case hexadecimal.
func parseSysfsPCR(bank Bank, content []byte) (Digest, error) {
	var digest Digest
	if err := digest.UnmarshalText(bytes.TrimSuffix(content, []byte("\n"))); err != nil {
		return nil, err
	}
	if !bank.fits(len(digest)) {
		return nil, fmt.Errorf("digest of %d bytes in bank %s", len(digest), bank)
	}
	return digest, nil
}

// kernelBoot returns the kernel's id of this boot.
func (s *Source) kernelBoot() (string, error) {
	const uuidLength = 36
	content, err := readSmall(s.BootID, uuidLength+1)
	if err != nil {
		return "", err
	}
	return string(bytes.TrimSpace(content)), nil
}

// readSmall returns the content of a regular file that has at most limit bytes. A
// FIFO in its place doesn't hang, and an endless file is an error.
func readSmall(path string, limit int64) ([]byte, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, failure.Errorf(failure.Malformed, "%s is not a regular file", path)
	}
	content, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(content)) > limit {
		return nil, failure.Errorf(failure.Malformed, "%s has more than %d bytes", path, limit)
	}
	return content, nil
}
