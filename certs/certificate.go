// Package certs reads X.509 certificates from files and TLS endpoints and judges
// sets, chains and bundles of them.
//
// It never decodes a private key, never switches verification off, and does not
// know what a certificate is used for.
package certs

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	// maxNameLength bounds a distinguished name, which becomes a label, in bytes.
	maxNameLength = 256
	// maxNameAttributes is how much of a name is looked at. Printing one takes
	// time quadratic in their number, and a name may fill its whole file.
	maxNameAttributes = 32
)

// Certificate holds the facts of an X.509 certificate that outlive its parsing.
type Certificate struct {
	// NotBefore and NotAfter are the ends of the validity period, both included,
	// with the one-second resolution of RFC 5280, section 4.1.2.5.
	NotBefore time.Time
	NotAfter  time.Time
	// FirstSeen stands in for NotBefore where whoever told of the certificate leaves
	// that out: it was valid then, so that it lives from there to NotAfter at least.
	FirstSeen time.Time `json:",omitzero"`
	// Subject and Issuer are distinguished names in the form of RFC 2253, at most
	// 256 bytes of them. What can't be printed is replaced by U+FFFD.
	Subject string
	Issuer  string
}

// FactsOf returns the facts of c.
func FactsOf(c *x509.Certificate) Certificate {
	return Certificate{
		NotBefore: c.NotBefore,
		NotAfter:  c.NotAfter,
		Subject:   distinguishedName(c.Subject),
		Issuer:    distinguishedName(c.Issuer),
	}
}

func distinguishedName(name pkix.Name) string {
	if len(name.Names) > maxNameAttributes {
		var head pkix.RDNSequence
		for _, attribute := range name.Names[:maxNameAttributes] {
			head = append(head, pkix.RelativeDistinguishedNameSET{attribute})
		}
		name = pkix.Name{}
		name.FillFromRDNSequence(&head)
	}
	return printable(name.String(), maxNameLength)
}

// printable returns s without what a terminal or a label should not get, cut to
// limit bytes between two characters.
func printable(s string, limit int) string {
	var b strings.Builder
	for _, r := range s {
		if !unicode.IsPrint(r) {
			r = utf8.RuneError
		}
		if b.Len()+utf8.RuneLen(r) > limit {
			break
		}
		b.WriteRune(r)
	}
	return b.String()
}

// FirstToEnd returns the facts of the certificate that stops being valid first: a
// chain is good for as long as that one is. Of several it is the one nearest to
// the leaf. It returns nil for no certificates.
func FirstToEnd(chain []*x509.Certificate) *Certificate {
	if len(chain) == 0 {
		return nil
	}
	first := chain[0]
	for _, c := range chain[1:] {
		if c.NotAfter.Before(first.NotAfter) {
			first = c
		}
	}
	facts := FactsOf(first)
	return &facts
}
