package certs

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"time"
)

// An Authority is one X.509 authority of a trust bundle.
type Authority struct {
	Certificate
	// Key is the SHA-256 of the SubjectPublicKeyInfo, in hexadecimal digits.
	// Authorities are told apart by their keys and not by their certificates:
	// what a key signed is trusted by whichever certificate holds that key, and
	// SPIRE taints keys.
	Key string
	// Tainted is true where the bundle's source says that the key must not be
	// trusted any longer. PEM can't say it.
	Tainted bool `json:",omitempty"`
}

// AuthorityOf returns c as an authority.
func AuthorityOf(c *x509.Certificate) Authority {
	sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return Authority{Certificate: FactsOf(c), Key: hex.EncodeToString(sum[:])}
}

// A LiveBundle holds the authorities of a trust domain as its server or an agent of
// it has them now.
type LiveBundle struct {
	TrustDomain string
	// Source names where it came from. A copy of the same name is that very
	// bundle, and comparing the two would tell nothing.
	Source      string
	Authorities []Authority
}

// A Difference says how a copy of a bundle lags behind the live one.
type Difference struct {
	// Missing authorities are in the live bundle, and not in the copy in a form
	// that is still valid.
	Missing int
	// Tainted authorities are in the copy and still valid, and the live bundle
	// calls them tainted or has them no longer.
	Tainted int
}

// Compare compares a copy of a trust bundle with the live one at a moment. Order,
// repetition, and what has expired make no difference: expired authorities stay in
// a healthy bundle for a day and more, and a copy without them is as good.
func Compare(copied, live []Authority, now time.Time) Difference {
	held := currentKeys(copied, now)
	current := currentKeys(live, now)
	var difference Difference
	for key, tainted := range current {
		if _, ok := held[key]; !ok && !tainted {
			difference.Missing++
		}
	}
	for key := range held {
		if tainted, ok := current[key]; tainted || !ok {
			difference.Tainted++
		}
	}
	return difference
}

// currentKeys maps the keys of the authorities that haven't expired to whether they
// are tainted. One that is not yet valid counts: it soon will be.
func currentKeys(authorities []Authority, now time.Time) map[string]bool {
	keys := make(map[string]bool, len(authorities))
	for _, authority := range authorities {
		if !authority.NotAfter.Before(now) {
			keys[authority.Key] = keys[authority.Key] || authority.Tainted
		}
	}
	return keys
}

// ParseBundle parses a trust bundle in PEM or in SPIFFE's JSON that isn't a file of
// its own. Its Failed says why there is nothing to judge.
func ParseBundle(name string, data []byte) Bundle {
	parsed := decodeBundle(data)
	parsed.bundle.Name, parsed.bundle.Failed = name, reasonOf(parsed.err)
	return parsed.bundle
}

// LiveIn returns the live bundle of which b is a copy: that of its trust domain,
// and of a bundle that names none the only one there is. A bundle has no live side
// in itself.
func (b Bundle) LiveIn(live []LiveBundle) (LiveBundle, bool) {
	for _, l := range live {
		if l.TrustDomain == b.TrustDomain || b.TrustDomain == "" && len(live) == 1 {
			if l.Source == b.Name {
				return LiveBundle{}, false
			}
			return l, true
		}
	}
	return LiveBundle{}, false
}
