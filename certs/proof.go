package certs

import (
	"crypto/x509"
	"slices"
	"time"
)

// A proof remembers that a chain was verified, because the signatures are what
// costs time in a reading. It rests on the certificates alone, so it holds while
// both files have the same ones and none on the way has begun or ended since. What
// doesn't verify isn't remembered.
type proof struct {
	chain, ca   []*x509.Certificate
	from, until time.Time // of the certificates above the leaf
}

// proveWith verifies a chain against the certificates of a CA file.
func proveWith(a *authorities, chain, ca []*x509.Certificate, now time.Time) (proof, error) {
	way, err := a.prove(chain, "", now)
	if err != nil {
		return proof{}, err
	}
	p := proof{chain: chain, ca: ca, until: chain[0].NotAfter}
	for _, c := range way[1:] {
		if c.NotBefore.After(p.from) {
			p.from = c.NotBefore
		}
		if c.NotAfter.Before(p.until) {
			p.until = c.NotAfter
		}
	}
	return p, nil
}

// holds tells whether the same would be proven again.
func (p proof) holds(chain, ca []*x509.Certificate, now time.Time) bool {
	if len(chain) == 0 || !slices.Equal(p.chain, chain) || !slices.Equal(p.ca, ca) {
		return false
	}
	at := within(chain[0], now)
	return !at.Before(p.from) && !at.After(p.until)
}
