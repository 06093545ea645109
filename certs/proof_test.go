package certs

import (
	"crypto/x509"
	"testing"
	"time"
)

// TestProof asks at several moments, and with other certificates, whether a proof
// of now still stands. The answer must be what a new proof would find.
func TestProof(t *testing.T) {
	root := mint(t, "root", nil, isCA, during(-48*time.Hour, 48*time.Hour))
	middle := mint(t, "intermediate", root, isCA, during(-time.Hour, time.Hour))
	leaf := mint(t, "leaf", middle, during(-12*time.Hour, 12*time.Hour))
	renewed := mint(t, "leaf", middle, during(-12*time.Hour, 12*time.Hour))
	other := mint(t, "root", nil, isCA, during(-48*time.Hour, 48*time.Hour))
	now := time.Now()
	chain, ca := plain([]*minted{leaf, middle}), plain([]*minted{root})
	p, err := proveWith(authoritiesFor(ca), chain, ca, now)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name      string
		chain, ca []*x509.Certificate
		after     time.Duration
		stands    bool
		valid     bool
	}{
		{"at once", chain, ca, 0, true, true},
		{"just before the intermediate ends", chain, ca, 59 * time.Minute, true, true},
		{"after it ended", chain, ca, 61 * time.Minute, false, false},
		{"before it began", chain, ca, -61 * time.Minute, false, false},
		{"after the leaf ended", chain, ca, 13 * time.Hour, false, false},
		{"another leaf", plain([]*minted{renewed, middle}), ca, 0, false, true},
		{"without the intermediate", chain[:1], ca, 0, false, false},
		{"another authority", chain, plain([]*minted{other}), 0, false, false},
		{"nothing", nil, ca, 0, false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			at := now.Add(tt.after)
			if got := p.holds(tt.chain, tt.ca, at); got != tt.stands {
				t.Errorf("proof of now stands: got %v, want %v", got, tt.stands)
			}
			fresh, err := proveWith(authoritiesFor(tt.ca), tt.chain, tt.ca, at)
			if got := err == nil; got != tt.valid {
				t.Errorf("valid: got %v (%v), want %v", got, err, tt.valid)
			}
			if got := fresh.holds(tt.chain, tt.ca, at); got != tt.valid {
				t.Errorf("fresh proof stands: got %v, want %v", got, tt.valid)
			}
		})
	}
}

func authoritiesFor(ca []*x509.Certificate) *authorities {
	a := authoritiesOf(ca)
	return &a
}
