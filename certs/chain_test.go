package certs

import (
	"crypto/x509"
	"slices"
	"testing"
	"time"
)

func TestParseChain(t *testing.T) {
	if got, err := ParseChain("/a.crt:/ca.crt"); err != nil || got != (Chain{File: "/a.crt", CAFile: "/ca.crt"}) {
		t.Errorf("ParseChain: got %+v, %v", got, err)
	}
	for _, s := range []string{"", "/a.crt", "/a.crt:", ":/ca.crt", "/a:b:/ca.crt"} {
		if got, err := ParseChain(s); err == nil {
			t.Errorf("ParseChain(%q): got %+v, want an error", s, got)
		}
	}
}

func TestVerify(t *testing.T) {
	p, other := newPKI(t), newPKI(t)
	now := time.Now()
	day := 24 * time.Hour
	expired := mint(t, "expired", p.intermediate, during(-20*time.Hour, -10*time.Hour))
	future := mint(t, "future", p.intermediate, during(10*time.Hour, 20*time.Hour))
	oldCA := mint(t, "old CA", p.root, isCA, during(-100*day, -day))
	outlives := mint(t, "outlives", oldCA, during(-100*day, day))
	diedBefore := mint(t, "died before", oldCA, during(-100*day, -3*day))
	clientOnly := mint(t, "client", p.intermediate, func(c *x509.Certificate) {
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	})
	noCA := mint(t, "no CA", p.root)
	fromNoCA := mint(t, "from no CA", noCA)
	alone := mint(t, "alone", nil)
	rolledOver := mint(t, "root", p.root, isCA, func(c *x509.Certificate) { // the root's next key, signed by its first
		c.AuthorityKeyId = p.root.SubjectKeyId
	})
	fromRolledOver := mint(t, "leaf", rolledOver)

	type list = []*minted
	tests := []struct {
		name  string
		chain list
		ca    list
		host  string
		want  bool
	}{
		{"leaf and intermediate against root", list{p.leaf, p.intermediate}, list{p.root}, "", true},
		{"leaf alone against root", list{p.leaf}, list{p.root}, "", false},
		{"leaf alone against intermediate and root", list{p.leaf}, list{p.intermediate, p.root}, "", true},
		{"leaf alone against intermediate alone", list{p.leaf}, list{p.intermediate}, "", true},
		{"root left out of the CA file that has another", list{p.leaf, p.intermediate}, list{p.intermediate, other.root}, "", false},
		{"root in the chain", list{p.leaf, p.intermediate, p.root}, list{p.root}, "", true},
		{"another root", list{p.leaf, p.intermediate}, list{other.root}, "", false},
		{"another intermediate", list{p.leaf, other.intermediate}, list{p.root}, "", false},
		{"intermediate first", list{p.intermediate, p.leaf}, list{p.root}, "", true}, // it is the leaf then
		{"for a client", list{clientOnly, p.intermediate}, list{p.root}, "", true},
		{"issued by what is no CA", list{fromNoCA, noCA}, list{p.root}, "", false},
		{"self-signed, trusted itself", list{alone}, list{alone}, "", true},
		{"trusted itself, beside a root", list{p.leaf}, list{p.leaf, other.root}, "", false},
		{"root's next key", list{fromRolledOver, rolledOver}, list{p.root}, "", true},
		{"root's next key, trusted itself, beside a root", list{fromRolledOver}, list{rolledOver, other.root}, "", false},
		{"self-signed, not trusted", list{alone}, list{p.root}, "", false},

		{"expired leaf", list{expired, p.intermediate}, list{p.root}, "", true},
		{"leaf of tomorrow", list{future, p.intermediate}, list{p.root}, "", true},
		{"expired intermediate", list{outlives, oldCA}, list{p.root}, "", false},
		{"leaf that ended before its intermediate", list{diedBefore, oldCA}, list{p.root}, "", false}, // the root is younger

		{"right name", list{p.leaf, p.intermediate}, list{p.root}, "localhost", true},
		{"right address", list{p.leaf, p.intermediate}, list{p.root}, "127.0.0.1", true},
		{"wrong name", list{p.leaf, p.intermediate}, list{p.root}, "example.org", false},
		{"nothing", nil, list{p.root}, "", false},
		{"no authority", list{p.leaf, p.intermediate}, nil, "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := authoritiesOf(plain(tt.ca)).verify(plain(tt.chain), tt.host, now)
			if got := err == nil; got != tt.want {
				t.Errorf("verify: got %v (%v), want %v", got, err, tt.want)
			}
		})
	}
}

// A leaf that is past, as are its authorities by now, verified while it lived.
func TestVerifyLongAgo(t *testing.T) {
	p := newPKI(t)
	err := authoritiesOf(plain([]*minted{p.root})).verify(plain([]*minted{p.leaf, p.intermediate}), "", time.Now().AddDate(50, 0, 0))
	if err != nil {
		t.Errorf("verify in fifty years: got %v, want nil", err)
	}
}

func plain(list []*minted) []*x509.Certificate {
	var certificates []*x509.Certificate
	for _, c := range list {
		certificates = append(certificates, c.Certificate)
	}
	return slices.Clip(certificates)
}
