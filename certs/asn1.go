package certs

import (
	"encoding/asn1"
	"errors"
	"fmt"
)

// derSequence is the first byte of every certificate and of every PKCS #7 message.
const derSequence = 0x30

// The PKCS #7 messages that carry certificates are of type signedData (RFC 2315,
// section 9; RFC 5652, section 5). Only the certificates are looked at, in DER: a
// decoder that first rewrites BER, as github.com/smallstep/pkcs7 does, can be
// kept busy for minutes by a file of nested, empty sequences.

// signedDataOID is 1.2.840.113549.1.7.2.
var signedDataOID = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}

// addDER adds the certificates of concatenated DER or of a PKCS #7 message.
func (d *document) addDER(der []byte) {
	values, err := elements(der)
	if err != nil {
		d.reject(err)
		return
	}
	if isPKCS7(values) {
		d.addPKCS7(der)
		return
	}
	for _, value := range values {
		d.add(value.FullBytes)
	}
}

// isPKCS7 tells the two formats apart: a message begins with its type, where a
// certificate begins with a sequence.
func isPKCS7(values []asn1.RawValue) bool {
	if len(values) != 1 {
		return false
	}
	var kind asn1.RawValue
	_, err := asn1.Unmarshal(values[0].Bytes, &kind)
	return err == nil && kind.Class == asn1.ClassUniversal && kind.Tag == asn1.TagOID
}

func (d *document) addPKCS7(der []byte) {
	certificates, err := pkcs7Certificates(der)
	if err != nil {
		d.reject(fmt.Errorf("PKCS #7: %w", err))
		return
	}
	for _, c := range certificates {
		// Old attribute certificates stand here too, under tags of their own.
		if c.Class == asn1.ClassUniversal && c.Tag == asn1.TagSequence {
			d.add(c.FullBytes)
		}
	}
}

// pkcs7Certificates returns the set that RFC 2315, section 9.1 calls certificates:
//
//	ContentInfo ::= SEQUENCE { contentType OBJECT IDENTIFIER, content [0] EXPLICIT SignedData }
//	SignedData ::= SEQUENCE { version, digestAlgorithms, contentInfo, certificates [0] OPTIONAL, … }
func pkcs7Certificates(der []byte) ([]asn1.RawValue, error) {
	var info struct {
		Type    asn1.ObjectIdentifier
		Content asn1.RawValue
	}
	if _, err := asn1.Unmarshal(der, &info); err != nil {
		return nil, err
	}
	if !info.Type.Equal(signedDataOID) {
		return nil, errors.New("content isn't signed data")
	}
	var signedData asn1.RawValue
	if _, err := asn1.Unmarshal(info.Content.Bytes, &signedData); err != nil {
		return nil, err
	}
	fields, err := elements(signedData.Bytes)
	if err != nil {
		return nil, err
	}
	for _, field := range fields {
		if field.Class == asn1.ClassContextSpecific && field.Tag == 0 {
			return elements(field.Bytes)
		}
	}
	return nil, nil
}

// elements cuts der into the values that stand in it side by side.
func elements(der []byte) ([]asn1.RawValue, error) {
	var values []asn1.RawValue
	for len(der) > 0 {
		var value asn1.RawValue
		rest, err := asn1.Unmarshal(der, &value)
		if err != nil {
			return nil, err
		}
		values = append(values, value)
		der = rest
	}
	return values, nil
}
