package tpm

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"funlab.casa/attestation_exporter/failure"
)

// unallocated names a selected bank that the TPM has no PCRs for, and those it
// has.
func unallocated(bank Bank, allocated []Bank) error {
	var names []string
	for _, b := range allocated {
		names = append(names, b.String())
	}
	return failure.Errorf(failure.Unreachable, "PCR bank %s is not allocated in this TPM (allocated: %s)",
		bank, strings.Join(names, ", "))
}

// readBank reads the wanted PCRs of one bank and returns them with the counter
// that came last. A TPM answers with those that fit, the lowest first, and is asked
// again for the rest: up to eight in a command (TPML_DIGEST; TPM 2.0 Library, part
// 2, section 10.9.5).
func readBank(chip transport.TPM, bank Bank, want PCRSet) (pcrs []PCR, updates *uint32, err error) {
	for want != 0 {
		response, err := run(chip, "TPM2_PCR_Read("+bank.String()+")", tpm2.PCRRead{
			PCRSelectionIn: tpm2.TPMLPCRSelection{PCRSelections: []tpm2.TPMSPCRSelection{{
				Hash:      tpm2.TPMIAlgHash(bank),
				PCRSelect: selectBytes(want),
			}}},
		}.Execute)
		if err != nil {
			return pcrs, updates, err
		}
		found, err := decodePCRs(bank, want, response)
		if err != nil {
			return pcrs, updates, failure.Errorf(failure.Malformed, "TPM2_PCR_Read(%s): %w", bank, err)
		}
		if len(found) == 0 {
			return pcrs, updates, failure.Errorf(failure.Unreachable, "TPM2_PCR_Read(%s): this TPM has no PCR %s", bank, want)
		}
		for _, pcr := range found {
			want &^= NewPCRSet(pcr.Index)
		}
		pcrs = append(pcrs, found...)
		updates = &response.PCRUpdateCounter
	}
	slices.SortFunc(pcrs, func(a, b PCR) int { return a.Index - b.Index })
	return pcrs, updates, nil
}

// decodePCRs pairs the digests of an answer with the indices that the TPM says
// they belong to, since it may answer with fewer than it was asked for (TPM 2.0
// Library, part 3, section 22.4).
func decodePCRs(bank Bank, want PCRSet, response *tpm2.PCRReadResponse) ([]PCR, error) {
	var given PCRSet
	for _, selection := range response.PCRSelectionOut.PCRSelections {
		pcrs := pcrsIn(selection.PCRSelect)
		if pcrs != 0 && Bank(selection.Hash) != bank {
			return nil, fmt.Errorf("answer for bank %s", Bank(selection.Hash))
		}
		given |= pcrs
	}
	if given&^want != 0 {
		return nil, fmt.Errorf("answer for PCR %s, which nobody asked for", given&^want)
	}
	digests := response.PCRValues.Digests
	if len(digests) != given.Len() {
		return nil, fmt.Errorf("%d digests for %d PCRs", len(digests), given.Len())
	}
	pcrs := make([]PCR, 0, len(digests))
	for index := range given.All() {
		digest := digests[len(pcrs)].Buffer
		if !bank.fits(len(digest)) {
			return nil, fmt.Errorf("digest of %d bytes for PCR %d", len(digest), index)
		}
		pcrs = append(pcrs, PCR{Bank: bank, Index: index, Digest: digest})
	}
	return pcrs, nil
}

// selectBytes returns a set as the bits of TPMS_PCR_SELECTION: bit 0 of byte 0 is
// PCR 0 (TPM 2.0 Library, part 2, section 10.6.2).
func selectBytes(pcrs PCRSet) []byte {
	return binary.LittleEndian.AppendUint32(nil, uint32(pcrs))[:pcrCount/8]
}

// pcrsIn reads the bits of TPMS_PCR_SELECTION. PCRs that a PC doesn't have are left out.
func pcrsIn(selected []byte) PCRSet {
	var pcrs PCRSet
	for i, octet := range selected[:min(len(selected), pcrCount/8)] {
		pcrs |= PCRSet(octet) << (8 * i)
	}
	return pcrs
}
