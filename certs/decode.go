package certs

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
)

// maxRSABits bounds what a signature may cost to check. It is above every key in
// use; one of a whole file's length would take minutes.
const maxRSABits = 16384

// document is what a file of certificates held: those that parsed, and how many
// did not.
type document struct {
	certificates []*x509.Certificate
	malformed    int
	malformation error // the first
}

func (d *document) reject(err error) {
	d.malformed++
	if d.malformation == nil {
		d.malformation = err
	}
}

func (d *document) add(der []byte) {
	c, err := x509.ParseCertificate(der)
	if err != nil {
		d.reject(err)
		return
	}
	if key, ok := c.PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() > maxRSABits {
		d.reject(fmt.Errorf("RSA key of %d bits, more than %d", key.N.BitLen(), maxRSABits))
		return
	}
	d.certificates = append(d.certificates, c)
}

// err returns why the document isn't whole, or nil.
func (d document) err() error {
	switch {
	case d.malformed > 0:
		return &LoadError{Malformed, fmt.Errorf("%d certificates are malformed, the first: %w", d.malformed, d.malformation)}
	case len(d.certificates) == 0:
		return &LoadError{Empty, errors.New("no certificate in the file")}
	}
	return nil
}

// decode finds the certificates in PEM, DER and PKCS #7, in their order. It keeps
// nothing of data.
func decode(data []byte) document {
	var d document
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")) // UTF-8 byte order mark
	switch {
	case len(bytes.TrimSpace(data)) == 0:
	case bytes.Contains(data, []byte(pemBegin)):
		d.addPEM(data)
	case data[0] == derSequence:
		d.addDER(bytes.Clone(data))
	default:
		d.reject(errors.New("neither PEM nor DER"))
	}
	return d
}

const (
	pemBegin = "-----BEGIN "
	pemEnd   = "-----END "
	pemTail  = "-----"
)

// addPEM goes through data by line and decodes blocks of certificates only: a
// private key in the same file is passed over without being decoded. Text between
// blocks is allowed (RFC 7468, section 2); a boundary out of place is not, being
// the mark of a file that somebody hasn't finished writing.
func (d *document) addPEM(data []byte) {
	label, begin, beginLine := "", 0, 0
	inside := false
	for offset, number := 0, 1; offset < len(data); number++ {
		line, _, _ := bytes.Cut(data[offset:], []byte("\n"))
		next := min(offset+len(line)+1, len(data))
		line = bytes.TrimRight(line, " \t\r")
		switch {
		case bytes.HasPrefix(line, []byte(pemBegin)):
			if inside && isCertificateLabel(label) {
				d.reject(fmt.Errorf("block of line %d has no end", beginLine))
			}
			inside = len(line) >= len(pemBegin)+len(pemTail) && bytes.HasSuffix(line, []byte(pemTail))
			if !inside {
				d.reject(fmt.Errorf("line %d is half a boundary", number))
				break
			}
			label = string(line[len(pemBegin) : len(line)-len(pemTail)])
			begin, beginLine = offset, number
		case bytes.HasPrefix(line, []byte(pemEnd)):
			if !inside {
				d.reject(fmt.Errorf("block that ends in line %d has no begin", number))
			} else if isCertificateLabel(label) {
				d.addBlock(label, data[begin:next], beginLine)
			}
			inside = false
		}
		offset = next
	}
	if inside && isCertificateLabel(label) {
		d.reject(fmt.Errorf("block of line %d has no end", beginLine))
	}
}

// isCertificateLabel knows the labels of RFC 7468, sections 5, 8 and 9, and
// OpenSSL's own.
func isCertificateLabel(label string) bool {
	switch label {
	case "CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE", "PKCS7", "CMS":
		return true
	}
	return false
}

func (d *document) addBlock(label string, text []byte, line int) {
	block, _ := pem.Decode(text)
	if block == nil {
		d.reject(fmt.Errorf("block of line %d is no PEM", line))
		return
	}
	switch label {
	case "PKCS7", "CMS":
		d.addPKCS7(block.Bytes)
	case "TRUSTED CERTIFICATE":
		// OpenSSL appends its trust settings to the certificate.
		var certificate asn1.RawValue
		if _, err := asn1.Unmarshal(block.Bytes, &certificate); err != nil {
			d.reject(err)
			return
		}
		d.add(certificate.FullBytes)
	default:
		d.add(block.Bytes)
	}
}
