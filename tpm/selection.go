package tpm

import (
	"fmt"
	"iter"
	"maps"
	"math/bits"
	"slices"
	"strconv"
	"strings"
)

// pcrCount is the number of PCRs in each bank of a PC (TCG PC Client Platform TPM
// Profile).
const pcrCount = 24

// A PCRSet is a set of PCR indices, 0 to 23.
type PCRSet uint32

// NewPCRSet makes a set of indices. One that no PCR has is left out.
func NewPCRSet(indices ...int) PCRSet {
	var set PCRSet
	for _, i := range indices {
		if 0 <= i && i < pcrCount {
			set |= 1 << i
		}
	}
	return set
}

// ParsePCRs reads a list of indices and ranges, such as "0-7" or "0,2,4,7".
func ParsePCRs(text string) (PCRSet, error) {
	var set PCRSet
	for item := range strings.SplitSeq(text, ",") {
		low, high, isRange := strings.Cut(item, "-")
		first, err := parsePCR(low)
		if err != nil {
			return 0, err
		}
		last := first
		if isRange {
			if last, err = parsePCR(high); err != nil {
				return 0, err
			}
		}
		if last < first {
			return 0, fmt.Errorf("PCR range %q runs backwards", item)
		}
		for i := first; i <= last; i++ {
			set |= 1 << i
		}
	}
	return set, nil
}

func parsePCR(text string) (int, error) {
	index, err := strconv.Atoi(text)
	if err != nil || index < 0 || index >= pcrCount || text != strconv.Itoa(index) {
		return 0, fmt.Errorf("PCR %q: want an index from 0 to %d, a list (0,2,4,7) or a range (0-7)", text, pcrCount-1)
	}
	return index, nil
}

// Has tells whether the set holds an index.
func (s PCRSet) Has(index int) bool { return index >= 0 && index < pcrCount && s&(1<<index) != 0 }

// Len returns the number of indices.
func (s PCRSet) Len() int { return bits.OnesCount32(uint32(s)) }

// All yields the indices in rising order.
func (s PCRSet) All() iter.Seq[int] {
	return func(yield func(int) bool) {
		for rest := uint32(s); rest != 0; rest &= rest - 1 {
			if !yield(bits.TrailingZeros32(rest)) {
				return
			}
		}
	}
}

// String returns the indices as a list without ranges.
func (s PCRSet) String() string {
	var items []string
	for i := range s.All() {
		items = append(items, strconv.Itoa(i))
	}
	return strings.Join(items, ",")
}

// A Selection names PCRs by bank.
type Selection map[Bank]PCRSet

// Select makes a Selection of the same PCRs in each bank.
func Select(pcrs PCRSet, banks ...Bank) Selection {
	selection := Selection{}
	for _, bank := range banks {
		selection[bank] = pcrs
	}
	return selection
}

// Union returns the PCRs that are in either selection.
func (s Selection) Union(other Selection) Selection {
	union := maps.Clone(s)
	if union == nil {
		union = Selection{}
	}
	for bank, pcrs := range other {
		union[bank] |= pcrs
	}
	return union
}

// Banks returns the banks that have a PCR in the selection, sorted.
func (s Selection) Banks() []Bank {
	var banks []Bank
	for _, bank := range slices.Sorted(maps.Keys(s)) {
		if s[bank] != 0 {
			banks = append(banks, bank)
		}
	}
	return banks
}

// StaysPut tells whether nothing in a running system extends or resets the PCR,
// so that it shows one value for a whole boot. Not so 8 to 15, which boot loaders
// and operating systems go on extending (10 is Linux's IMA), nor 16 and 23, which
// anybody may reset (TCG PC Client Platform TPM Profile).
func StaysPut(index int) bool {
	return (0 <= index && index <= 7) || (17 <= index && index <= 22)
}
