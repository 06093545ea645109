package tpm

import (
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"funlab.casa/attestation_exporter/certs"
	"funlab.casa/attestation_exporter/failure"
)

// The NV indices of EK certificates, and between them of templates and nonces
// (TCG EK Credential Profile for TPM Family 2.0, "Low Range" and "High Range").
const (
	firstEKIndex = 0x01C00002
	lastEKIndex  = 0x01C0007F
)

// maxEKSize bounds what is read of one index. Certificates have 800 to 3,000
// bytes.
const maxEKSize = 8192

// defaultNVBuffer is the chunk for a TPM whose own limit isn't known
// (TPM_PT_NV_BUFFER_MAX). Those of PCs have 768 bytes and more.
const defaultNVBuffer = 512

// readEKCertificates reads the EK certificates from NV memory, nvBuffer bytes in
// a command.
func readEKCertificates(chip transport.TPM, nvBuffer uint32) ([]EKCertificate, error) {
	indices, err := readEKIndices(chip)
	if err != nil {
		return nil, err
	}
	var found []EKCertificate
	for _, index := range indices {
		content, err := readNV(chip, index, chunkSize(nvBuffer))
		if errors.Is(err, errUnreadable) {
			continue
		}
		if err != nil {
			return found, fmt.Errorf("NV index 0x%08x: %w", uint32(index), err)
		}
		if certificate, ok := parseEKCertificate(uint32(index), content); ok {
			found = append(found, certificate)
		}
	}
	return found, nil
}

func chunkSize(nvBuffer uint32) uint16 {
	if nvBuffer == 0 || nvBuffer > maxResponse/2 {
		return defaultNVBuffer
	}
	return uint16(nvBuffer)
}

// readEKIndices lists the NV indices of the profile's range that are defined, in
// rising order.
func readEKIndices(chip transport.TPM) ([]tpm2.TPMHandle, error) {
	var found []tpm2.TPMHandle
	first := tpm2.TPMHandle(firstEKIndex)
	for range maxRounds {
		response, err := run(chip, "TPM2_GetCapability(handles)", tpm2.GetCapability{
			Capability: tpm2.TPMCapHandles, Property: uint32(first), PropertyCount: lastEKIndex - firstEKIndex + 1,
		}.Execute)
		if err != nil {
			return nil, err
		}
		list, err := response.CapabilityData.Data.Handles()
		if err != nil {
			return nil, failure.Errorf(failure.Malformed, "TPM2_GetCapability(handles): %w", err)
		}
		for _, handle := range list.Handle {
			if handle > lastEKIndex {
				return found, nil
			}
			if handle < first {
				return nil, failure.Errorf(failure.Malformed, "TPM2_GetCapability(handles): 0x%08x is out of order", uint32(handle))
			}
			found = append(found, handle)
			first = handle + 1
		}
		if !response.MoreData || len(list.Handle) == 0 {
			return found, nil
		}
	}
	return nil, failure.Errorf(failure.Malformed, "TPM2_GetCapability(handles): the answer has no end")
}

// errUnreadable says that an index can't be read without a secret, or holds
// nothing yet. That is how its maker wanted it, and no failure.
var errUnreadable = errors.New("not readable without authorization")

// readNV returns the content of an index. It sends an empty password only where a
// wrong one doesn't count as a dictionary attack: to an index that says so, and
// else to the owner, whose hierarchy isn't protected against them (TPM 2.0
// Library, part 1, "Dictionary Attack Protection").
func readNV(chip transport.TPM, index tpm2.TPMHandle, chunk uint16) ([]byte, error) {
	described, err := run(chip, "TPM2_NV_ReadPublic", tpm2.NVReadPublic{NVIndex: index}.Execute)
	if err != nil {
		return nil, err
	}
	public, err := described.NVPublic.Contents()
	if err != nil {
		return nil, failure.Errorf(failure.Malformed, "TPM2_NV_ReadPublic: %w", err)
	}
	attributes := public.Attributes
	authority := tpm2.AuthHandle{Auth: tpm2.PasswordAuth(nil)}
	switch {
	case !attributes.Written, attributes.ReadLocked, attributes.NT != tpm2.TPMNTOrdinary, public.DataSize > maxEKSize:
		return nil, errUnreadable
	case attributes.AuthRead && attributes.NoDA:
		authority.Handle = index
	case attributes.OwnerRead:
		authority.Handle = tpm2.TPMRHOwner
	default:
		return nil, errUnreadable
	}
	authority.Name = described.NVName
	return readChunks(chip, authority, tpm2.NamedHandle{Handle: index, Name: described.NVName}, public.DataSize, chunk)
}

func readChunks(chip transport.TPM, authority tpm2.AuthHandle, index tpm2.NamedHandle, size, chunk uint16) ([]byte, error) {
	var content []byte
	for offset := uint16(0); offset < size; offset = uint16(len(content)) { //nolint:gosec // At most size, which has 16 bits.
		response, err := run(chip, "TPM2_NV_Read", tpm2.NVRead{
			AuthHandle: authority, NVIndex: index, Size: min(chunk, size-offset), Offset: offset,
		}.Execute)
		if err != nil {
			var code tpm2.TPMRC
			if errors.As(err, &code) && refusesAuthorization(code) {
				return nil, errUnreadable
			}
			return nil, err
		}
		got := response.Data.Buffer
		if len(got) == 0 || len(got) > int(size-offset) {
			return nil, failure.Errorf(failure.Malformed, "TPM2_NV_Read: %d bytes for %d", len(got), size-offset)
		}
		content = append(content, got...)
	}
	return content, nil
}

// parseEKCertificate returns the certificate that content begins with; what comes
// after it is padding, since an index may be larger than its certificate. It
// returns false for what isn't a certificate by its shape: a template, a nonce.
func parseEKCertificate(index uint32, content []byte) (EKCertificate, bool) {
	var outer struct {
		Raw       asn1.RawContent
		TBS       asn1.RawValue
		Algorithm asn1.RawValue
		Signature asn1.BitString
	}
	if _, err := asn1.Unmarshal(content, &outer); err != nil {
		return EKCertificate{}, false
	}
	certificate, err := x509.ParseCertificate(outer.Raw)
	if err != nil {
		return EKCertificate{Index: index, Failed: certs.Malformed}, true
	}
	return EKCertificate{
		Index:       index,
		Certificate: certs.FactsOf(certificate),
		PublicKey:   certificate.RawSubjectPublicKeyInfo,
	}, true
}
