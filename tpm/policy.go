package tpm

import (
	"crypto"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"

	"github.com/google/go-tpm/tpm2"
)

// Values are PCR digests by bank and index: of a chip, or as an event log says
// they must be.
type Values map[Bank]map[int]Digest

// ValuesOf arranges the PCRs of a reading.
func ValuesOf(pcrs []PCR) Values {
	values := Values{}
	for _, pcr := range pcrs {
		values.set(pcr.Bank, pcr.Index, pcr.Digest)
	}
	return values
}

func (v Values) set(bank Bank, index int, digest Digest) {
	if v[bank] == nil {
		v[bank] = map[int]Digest{}
	}
	v[bank][index] = digest
}

// Overlay returns v with what other has in its place.
func (v Values) Overlay(other Values) Values {
	both := Values{}
	for _, layer := range []Values{v, other} {
		for bank, pcrs := range layer {
			if both[bank] == nil {
				both[bank] = map[int]Digest{}
			}
			maps.Copy(both[bank], pcrs)
		}
	}
	return both
}

// Pick returns the values of the PCRs in a selection.
func (v Values) Pick(selection Selection) Values {
	picked := Values{}
	for bank, pcrs := range selection {
		for index := range pcrs.All() {
			if digest, ok := v[bank][index]; ok {
				picked.set(bank, index, digest)
			}
		}
	}
	return picked
}

// Cover tells whether each PCR of the selection has a value.
func (v Values) Cover(selection Selection) bool {
	for bank, pcrs := range selection {
		for index := range pcrs.All() {
			if _, ok := v[bank][index]; !ok {
				return false
			}
		}
	}
	return true
}

// Measured are the PCR values by which policies are judged.
type Measured struct {
	// Boot is what the firmware measured in this boot, and will measure in the
	// next one if nothing changes: the event log's replay, and the chip's values
	// where there is no log.
	Boot Values
	// Chip is what the TPM shows now. It may be empty.
	Chip Values
}

// ErrValueMissing says that a policy names a PCR whose value isn't known.
var ErrValueMissing = errors.New("PCR value not known")

// PolicyPCR returns the policyDigest of a fresh policy session of the hash
// algorithm after one TPM2_PolicyPCR with the selected PCRs (TPM 2.0 Library,
// part 3, section 23.7): what an object sealed to these values, and to nothing
// else, carries as its authPolicy. No TPM is asked.
func PolicyPCR(session Bank, bank Bank, pcrs PCRSet, values Values) (Digest, error) {
	policy, err := tpm2.NewPolicyCalculator(tpm2.TPMIAlgHash(session))
	if err != nil {
		return nil, fmt.Errorf("policy session of hash %s: %w", session, err)
	}
	selected, err := session.sum(func(write func([]byte)) error {
		for index := range pcrs.All() {
			digest, ok := values[bank][index]
			if !ok {
				return fmt.Errorf("%s PCR %d: %w", bank, index, ErrValueMissing)
			}
			write(digest)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = tpm2.PolicyPCR{
		PcrDigest: tpm2.TPM2BDigest{Buffer: selected},
		Pcrs: tpm2.TPMLPCRSelection{PCRSelections: []tpm2.TPMSPCRSelection{{
			Hash:      tpm2.TPMIAlgHash(bank),
			PCRSelect: binary.LittleEndian.AppendUint32(nil, uint32(pcrs))[:3], // three octets for 24 PCRs
		}}},
	}.Update(policy)
	if err != nil {
		return nil, fmt.Errorf("update policy: %w", err)
	}
	return policy.Hash().Digest, nil
}

// sum hashes what fill writes.
func (b Bank) sum(fill func(write func([]byte)) error) (Digest, error) {
	hash := b.Hash()
	if hash == 0 {
		return nil, fmt.Errorf("hash algorithm %s isn't supported", b)
	}
	state := hash.New()
	if err := fill(func(p []byte) { state.Write(p) }); err != nil {
		return nil, err
	}
	return state.Sum(nil), nil
}

// Hash returns the bank's hash algorithm, or 0 for one that the standard library
// hasn't got.
func (b Bank) Hash() crypto.Hash {
	switch b {
	case SM3:
		return 0
	case SHA1:
		return crypto.SHA1
	case SHA256:
		return crypto.SHA256
	case SHA384:
		return crypto.SHA384
	case SHA512:
		return crypto.SHA512
	}
	return 0
}
