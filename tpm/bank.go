package tpm

import (
	"fmt"
	"strconv"
	"strings"
)

// A Bank is the set of PCRs that one hash algorithm extends, named by the
// TPM_ALG_ID of that algorithm (TCG Algorithm Registry, section 3).
type Bank uint16

// The banks whose names the kernel, tpm2-tools and this program share.
const (
	SHA1   Bank = 0x0004
	SHA256 Bank = 0x000B
	SHA384 Bank = 0x000C
	SHA512 Bank = 0x000D
	SM3    Bank = 0x0012
)

type algorithm struct {
	bank Bank
	name string
	size int
}

// algorithms returns the banks that have a name here.
func algorithms() []algorithm {
	return []algorithm{
		{SHA1, "sha1", 20},
		{SHA256, "sha256", 32},
		{SHA384, "sha384", 48},
		{SHA512, "sha512", 64},
		{SM3, "sm3_256", 32},
	}
}

// String returns the bank's name, or the number of an algorithm without one, as
// 0x0027.
func (b Bank) String() string {
	for _, a := range algorithms() {
		if a.bank == b {
			return a.name
		}
	}
	return fmt.Sprintf("0x%04x", uint16(b))
}

// ParseBank reads what String writes.
func ParseBank(text string) (Bank, error) {
	for _, a := range algorithms() {
		if a.name == text {
			return a.bank, nil
		}
	}
	if digits, ok := strings.CutPrefix(text, "0x"); ok {
		if id, err := strconv.ParseUint(digits, 16, 16); err == nil {
			return Bank(id), nil
		}
	}
	return 0, fmt.Errorf("unknown PCR bank %q: want sha1, sha256, sha384, sha512, sm3_256 or an algorithm number such as 0x0027", text)
}

// MarshalText implements encoding.TextMarshaler.
func (b Bank) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (b *Bank) UnmarshalText(text []byte) error {
	parsed, err := ParseBank(string(text))
	*b = parsed
	return err
}

// maxDigest is the size of the longest digest of any algorithm in the registry.
const maxDigest = 64

// fits tells whether a digest of size bytes can be a PCR of this bank. The size
// of an algorithm without a name isn't known.
func (b Bank) fits(size int) bool {
	for _, a := range algorithms() {
		if a.bank == b {
			return size == a.size
		}
	}
	return 0 < size && size <= maxDigest
}
