package certs

import (
	"crypto/x509"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// A State says what an authority of a trust bundle is good for at a moment.
type State string

// The states of an authority.
const (
	StateValid       State = "valid"
	StateExpired     State = "expired"
	StateNotYetValid State = "not_yet_valid"
	StateMalformed   State = "malformed" // no certificate could be made of it
)

// States returns all states, for series that must exist before they are needed.
func States() []State {
	return []State{StateValid, StateExpired, StateNotYetValid, StateMalformed}
}

// StateAt returns the state of c at now. Both ends of its validity belong to it
// (RFC 5280, section 4.1.2.5).
func StateAt(c Certificate, now time.Time) State {
	switch {
	case now.Before(c.NotBefore):
		return StateNotYetValid
	case now.After(c.NotAfter):
		return StateExpired
	}
	return StateValid
}

// A Bundle is a copy of a SPIFFE trust bundle's X.509 authorities.
type Bundle struct {
	Name string // where it was read: a path
	// TrustDomain is the one that all authorities name which name any, without
	// the scheme. An upstream authority names none.
	TrustDomain string
	// Authorities are those that parsed, each once, in the order of the document.
	Authorities []Authority
	// Malformed is how many did not.
	Malformed int
	// Modified is the modification time of the file, zero if it wasn't read.
	Modified time.Time
	// Failed says why there is nothing to judge. One bad authority among others is
	// no failure; it counts as malformed.
	Failed LoadReason `json:",omitempty"`
}

// Validity is what a bundle is good for at a moment.
type Validity struct {
	Authorities map[State]int // every state is present
	// FirstExpiry is the earliest end of a valid authority, zero if none is valid.
	FirstExpiry time.Time
	// Last is the authority that ends last, also when that is past: when it ends,
	// nothing that the bundle vouches for verifies any more. It is nil when none
	// is well-formed.
	Last *Certificate
}

// At judges the bundle at now.
func (b Bundle) At(now time.Time) Validity {
	v := Validity{Authorities: map[State]int{}}
	for _, state := range States() {
		v.Authorities[state] = 0
	}
	v.Authorities[StateMalformed] = b.Malformed
	for i, c := range b.Authorities {
		state := StateAt(c.Certificate, now)
		v.Authorities[state]++
		if state == StateValid && (v.FirstExpiry.IsZero() || c.NotAfter.Before(v.FirstExpiry)) {
			v.FirstExpiry = c.NotAfter
		}
		if v.Last == nil || c.NotAfter.After(v.Last.NotAfter) {
			v.Last = &b.Authorities[i].Certificate
		}
	}
	return v
}

// bundleOf makes a Bundle of a parsed document.
func bundleOf(d document) Bundle {
	b := Bundle{Malformed: d.malformed, TrustDomain: trustDomain(d.certificates)}
	seen := map[string]bool{}
	for _, c := range d.certificates {
		if !seen[string(c.Raw)] {
			seen[string(c.Raw)] = true
			b.Authorities = append(b.Authorities, AuthorityOf(c))
		}
	}
	return b
}

// trustDomain returns the trust domain of which the authorities are, by their
// SPIFFE IDs (X509-SVID, section 2), and "" when they name none or several.
func trustDomain(authorities []*x509.Certificate) string {
	name := ""
	for _, c := range authorities {
		for _, uri := range c.URIs {
			id, err := spiffeid.FromURI(uri)
			if err != nil {
				continue
			}
			domain := id.TrustDomain().Name()
			if name != "" && name != domain {
				return ""
			}
			name = domain
		}
	}
	return name
}
