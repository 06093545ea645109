package certs

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"
)

// A Chain is a file with a certificate and its intermediates, and the file with
// the authorities that it should verify against.
type Chain struct {
	File   string
	CAFile string
	// Optional says that either may be absent, silently.
	Optional bool
}

// ParseChain reads FILE:CAFILE.
func ParseChain(s string) (Chain, error) {
	file, ca, found := strings.Cut(s, ":")
	if !found || file == "" || ca == "" || strings.Contains(ca, ":") {
		return Chain{}, fmt.Errorf("chain %q is not FILE:CAFILE", s)
	}
	return Chain{File: file, CAFile: ca}, nil
}

// authorities are what a chain is verified against.
type authorities struct {
	anchors       *x509.CertPool // nil stands for the anchors of the system
	intermediates []*x509.Certificate
}

// authoritiesOf sorts the certificates of a CA file as OpenSSL does without
// partial chains: only those that signed themselves are trusted, and the others
// help to reach them. A file without any can only mean that its certificates are
// to be trusted as they are.
func authoritiesOf(certificates []*x509.Certificate) authorities {
	anchors := x509.NewCertPool()
	var others []*x509.Certificate
	for _, c := range certificates {
		if isSelfSigned(c) {
			anchors.AddCert(c)
		} else {
			others = append(others, c)
		}
	}
	if len(others) < len(certificates) {
		return authorities{anchors: anchors, intermediates: others}
	}
	for _, c := range certificates {
		anchors.AddCert(c)
	}
	return authorities{anchors: anchors}
}

// isSelfSigned goes by the names and key identifiers (RFC 5280, sections 3.2 and
// 4.2.1.1). An authority that changed its key is its own issuer too, under
// another key's identifier.
func isSelfSigned(c *x509.Certificate) bool {
	return bytes.Equal(c.RawIssuer, c.RawSubject) &&
		(len(c.AuthorityKeyId) == 0 || len(c.SubjectKeyId) == 0 || bytes.Equal(c.AuthorityKeyId, c.SubjectKeyId))
}

// verify returns nil if the chain, leaf first, leads to one of the authorities,
// and is for host unless that is empty. The leaf's own validity is not judged,
// having series of its own: the chain is looked at from the moment within it that
// is nearest to now. Whatever use the certificates are for is good.
func (a authorities) verify(chain []*x509.Certificate, host string, now time.Time) error {
	_, err := a.prove(chain, host, now)
	return err
}

// prove is verify, and returns the first of the ways that lead to an authority, leaf
// first.
func (a authorities) prove(chain []*x509.Certificate, host string, now time.Time) ([]*x509.Certificate, error) {
	if len(chain) == 0 {
		return nil, errors.New("chain is empty")
	}
	intermediates := x509.NewCertPool()
	for _, c := range chain[1:] {
		intermediates.AddCert(c)
	}
	for _, c := range a.intermediates {
		intermediates.AddCert(c)
	}
	ways, err := chain[0].Verify(x509.VerifyOptions{
		DNSName:       host,
		Roots:         a.anchors,
		Intermediates: intermediates,
		CurrentTime:   within(chain[0], now),
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return nil, err
	}
	return ways[0], nil
}

func within(c *x509.Certificate, now time.Time) time.Time {
	switch {
	case now.Before(c.NotBefore):
		return c.NotBefore
	case now.After(c.NotAfter):
		return c.NotAfter
	}
	return now
}
