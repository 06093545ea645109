package tpm

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"funlab.casa/attestation_exporter/failure"
)

// maxRounds bounds how often a capability is asked on for, against a TPM that
// always has more. A TPM in failure mode gives one property at a time, of the
// eight from TPM_PT_MANUFACTURER to TPM_PT_FIRMWARE_VERSION_2.
const maxRounds = 16

// readBanks returns the allocated PCRs of each bank. A bank that the TPM could
// have, but for which nothing is allocated, is an empty set.
func readBanks(chip transport.TPM) (Selection, error) {
	response, err := run(chip, "TPM2_GetCapability(PCRs)",
		tpm2.GetCapability{Capability: tpm2.TPMCapPCRs, PropertyCount: 1}.Execute)
	if err != nil {
		return nil, err
	}
	assigned, err := response.CapabilityData.Data.AssignedPCR()
	if err != nil {
		return nil, failure.Errorf(failure.Malformed, "TPM2_GetCapability(PCRs): %w", err)
	}
	banks := Selection{}
	for _, selection := range assigned.PCRSelections {
		banks[Bank(selection.Hash)] = pcrsIn(selection.PCRSelect)
	}
	return banks, nil
}

// properties maps TPM_PT to its value.
type properties map[tpm2.TPMPT]uint32

// readProperties returns the properties from first to last, as many of them as
// the TPM has, in one command where the answer can hold them.
func readProperties(chip transport.TPM, first, last tpm2.TPMPT) (properties, error) {
	found := properties{}
	for range maxRounds {
		response, err := run(chip, "TPM2_GetCapability(properties)", tpm2.GetCapability{
			Capability: tpm2.TPMCapTPMProperties, Property: uint32(first), PropertyCount: uint32(last-first) + 1,
		}.Execute)
		if err != nil {
			return found, err
		}
		list, err := response.CapabilityData.Data.TPMProperties()
		if err != nil {
			return found, failure.Errorf(failure.Malformed, "TPM2_GetCapability(properties): %w", err)
		}
		next := first
		for _, property := range list.TPMProperty {
			found[property.Property] = property.Value
			next = max(next, property.Property+1)
		}
		if !response.MoreData || next <= first || next > last {
			return found, nil
		}
		first = next
	}
	return found, failure.Errorf(failure.Malformed, "TPM2_GetCapability(properties): the answer has no end")
}

// fixedProperties decodes what doesn't change in a boot.
func fixedProperties(found properties) Properties {
	text := func(names ...tpm2.TPMPT) string {
		var raw []byte
		for _, name := range names {
			raw = binary.BigEndian.AppendUint32(raw, found[name])
		}
		return printable(raw)
	}
	facts := Properties{
		Manufacturer: text(tpm2.TPMPTManufacturer),
		Vendor: text(tpm2.TPMPTVendorString1, tpm2.TPMPTVendorString2,
			tpm2.TPMPTVendorString3, tpm2.TPMPTVendorString4),
	}
	if revision, ok := found[tpm2.TPMPTRevision]; ok {
		facts.Revision = fmt.Sprintf("%d.%02d", revision/100, revision%100)
	}
	if major, ok := found[tpm2.TPMPTFirmwareVersion1]; ok {
		minor := found[tpm2.TPMPTFirmwareVersion2]
		facts.Firmware = fmt.Sprintf("%d.%d.%d.%d", major>>16, major&0xffff, minor>>16, minor&0xffff)
	}
	return facts
}

// printable keeps the visible ASCII characters of raw, and one space where there
// are NULs, spaces or anything else between them: vendors pad with either.
func printable(raw []byte) string {
	visible := strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return ' '
		}
		return r
	}, strings.ReplaceAll(string(raw), "\x00", ""))
	return strings.Join(strings.Fields(visible), " ")
}

// inLockout is a bit of TPMA_PERMANENT (TPM 2.0 Library, part 2, "TPMA_PERMANENT").
const inLockout = 1 << 9

// readLockout returns the dictionary-attack state from the variable properties.
func readLockout(chip transport.TPM) (*Lockout, error) {
	found, err := readProperties(chip, tpm2.TPMPTPermanent, tpm2.TPMPTMaxAuthFail)
	if err != nil {
		return nil, err
	}
	permanent, ok1 := found[tpm2.TPMPTPermanent]
	failures, ok2 := found[tpm2.TPMPTLockoutCounter]
	maximum, ok3 := found[tpm2.TPMPTMaxAuthFail]
	if !ok1 || !ok2 || !ok3 {
		return nil, failure.Errorf(failure.Malformed, "TPM2_GetCapability(properties): the answer lacks the lockout state")
	}
	return &Lockout{Failures: failures, MaxFailures: maximum, LockedOut: permanent&inLockout != 0}, nil
}
