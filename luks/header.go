package luks

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"

	"funlab.casa/attestation_exporter/failure"
)

// Format names what lies at the start of a device.
type Format string

// The formats that are told apart.
const (
	LUKS2   Format = "luks2"
	LUKS1   Format = "luks1" // has no tokens, so nothing binds it to a TPM here
	Plain   Format = "plain" // dm-crypt without a header: nothing to read
	Unknown Format = "unknown"
)

// The binary header (LUKS2 On-Disk Format Specification 1.1.1, section 2.1): the
// offsets and sizes of the fields that are read.
const (
	binaryHeaderSize = 4096

	versionOffset  = 6
	sizeOffset     = 8
	sequenceOffset = 16
	checksumName   = 72 // checksum_alg, 32 bytes
	ownOffset      = 256
	checksumOffset = 448
	checksumSize   = 64
)

var (
	primaryMagic   = []byte("LUKS\xba\xbe")
	secondaryMagic = []byte("SKUL\xba\xbe")
)

// errNoHeader says that there is no LUKS magic where it should be.
var errNoHeader = errors.New("no LUKS header")

// headerSizes are the values of hdr_size that the specification allows (section
// 2.2, table 1). The second copy starts where the first ends, so these are also
// the places to look for it when the first is spoilt.
func headerSizes() []int64 {
	const ki = 1 << 10
	return []int64{16 * ki, 32 * ki, 64 * ki, 128 * ki, 256 * ki, 512 * ki, 1024 * ki, 2048 * ki, 4096 * ki}
}

// A header is one valid copy.
type header struct {
	sequence uint64
	json     []byte
}

// readHeader reads both copies, and nothing that lies behind them, and returns
// the JSON of the one with the newer sequence id. One spoilt copy is no failure:
// cryptsetup repairs it from the other.
func readHeader(device io.ReaderAt) (Format, []byte, error) {
	first := make([]byte, binaryHeaderSize)
	if _, err := device.ReadAt(first, 0); err != nil && !errors.Is(err, io.EOF) {
		return Unknown, nil, fmt.Errorf("read header: %w", err)
	}
	if bytes.HasPrefix(first, primaryMagic) && binary.BigEndian.Uint16(first[versionOffset:]) == 1 {
		return LUKS1, nil, nil
	}
	primary, primaryErr := readCopy(device, first, primaryMagic, 0)
	secondary, secondaryErr := findSecondary(device, first, primaryErr == nil)
	switch {
	case primaryErr != nil && secondaryErr != nil:
		return Unknown, nil, failure.Wrap(reasonOf(primaryErr, secondaryErr), errors.Join(primaryErr, secondaryErr))
	case secondaryErr != nil || (primaryErr == nil && primary.sequence >= secondary.sequence):
		return LUKS2, primary.json, nil //nolint:nilerr // one good copy is enough
	}
	return LUKS2, secondary.json, nil
}

// reasonOf names the failure of both copies: an error of reading where there was
// one, else what was read is at fault.
func reasonOf(errs ...error) failure.Reason {
	for _, err := range errs {
		if reason := failure.Of(err); reason != failure.Malformed {
			return reason
		}
	}
	return failure.Malformed
}

// findSecondary reads the second copy from behind the first, or looks at each
// place where it may be if the first doesn't tell.
func findSecondary(device io.ReaderAt, first []byte, trusted bool) (header, error) {
	places := headerSizes()
	if trusted {
		places = []int64{int64(binary.BigEndian.Uint64(first[sizeOffset:]))} //nolint:gosec // readCopy has checked it
	}
	found := failure.Errorf(failure.Malformed, "second copy: %w", errNoHeader)
	for _, place := range places {
		start := make([]byte, binaryHeaderSize)
		if _, err := device.ReadAt(start, place); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return header{}, fmt.Errorf("read second copy: %w", err)
		}
		if !bytes.HasPrefix(start, secondaryMagic) {
			continue
		}
		copied, err := readCopy(device, start, secondaryMagic, place)
		if err == nil {
			return copied, nil
		}
		found = err
	}
	return header{}, found
}

// readCopy checks one copy whose first 4 KiB are given, and reads the rest of it.
func readCopy(device io.ReaderAt, start, magic []byte, place int64) (header, error) {
	if !bytes.HasPrefix(start, magic) {
		return header{}, failure.Errorf(failure.Malformed, "copy at %d: %w", place, errNoHeader)
	}
	if version := binary.BigEndian.Uint16(start[versionOffset:]); version != 2 {
		return header{}, failure.Errorf(failure.Malformed, "copy at %d: LUKS version %d", place, version)
	}
	size := binary.BigEndian.Uint64(start[sizeOffset:])
	if !allowedSize(size) {
		return header{}, failure.Errorf(failure.Malformed, "copy at %d: header size %d isn't one of the specification's", place, size)
	}
	if own := binary.BigEndian.Uint64(start[ownOffset:]); own != uint64(place) { //nolint:gosec // never negative
		return header{}, failure.Errorf(failure.Malformed, "copy at %d says that it is at %d", place, own)
	}
	rest := make([]byte, size-binaryHeaderSize)
	switch _, err := device.ReadAt(rest, place+binaryHeaderSize); {
	case errors.Is(err, io.EOF):
		return header{}, failure.Errorf(failure.Malformed, "copy at %d is longer than the device", place)
	case err != nil:
		return header{}, fmt.Errorf("read copy at %d: %w", place, err)
	}
	if err := checksum(start, rest); err != nil {
		return header{}, failure.Errorf(failure.Malformed, "copy at %d: %w", place, err)
	}
	text, _, _ := bytes.Cut(rest, []byte{0})
	return header{sequence: binary.BigEndian.Uint64(start[sequenceOffset:]), json: text}, nil
}

func allowedSize(size uint64) bool {
	for _, allowed := range headerSizes() {
		if size == uint64(allowed) { //nolint:gosec // a positive constant
			return true
		}
	}
	return false
}

// checksum verifies a copy over the whole of its size, with the field of the
// checksum itself as zeros (section 2.1). cryptsetup writes sha256.
func checksum(start, rest []byte) error {
	name, _, _ := bytes.Cut(start[checksumName:checksumName+32], []byte{0})
	var state hash.Hash
	switch string(name) {
	case "sha256":
		state = sha256.New()
	case "sha512":
		state = sha512.New()
	default:
		return fmt.Errorf("checksum algorithm %q isn't supported", name)
	}
	stored := start[checksumOffset : checksumOffset+checksumSize]
	state.Write(start[:checksumOffset])
	state.Write(make([]byte, checksumSize))
	state.Write(start[checksumOffset+checksumSize:])
	state.Write(rest)
	if !bytes.Equal(state.Sum(nil), stored[:state.Size()]) {
		return errors.New("checksum doesn't match")
	}
	return nil
}
