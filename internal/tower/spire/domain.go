package spire

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/url"
	"slices"
	"sync"
	"time"

	serverapi "funlab.casa/attestation_exporter/spire/proto/server"
)

// A Domain is a trust domain with an authority that rotates when told to. It is
// safe for concurrent use.
type Domain struct {
	Name string
	// Lifetime is how long an authority lives.
	Lifetime time.Duration
	// Now is the domain's clock.
	Now func() time.Time
	// Lead is how long before its issue a certificate begins, for clocks that
	// disagree. A domain in which a day is short shortens it, too.
	Lead time.Duration

	mu          sync.Mutex
	authorities []*authority // as they came; what expired stays, as in SPIRE for a day
	active      *authority
	prepared    *authority
	old         *authority
}

type authority struct {
	key         *ecdsa.PrivateKey
	certificate *x509.Certificate
	tainted     bool
}

// NewDomain makes a Domain with one active authority.
func NewDomain(name string, lifetime time.Duration, now func() time.Time) (*Domain, error) {
	d := &Domain{Name: name, Lifetime: lifetime, Now: now, Lead: 10 * time.Second} // As SPIRE does.
	if err := d.Prepare(); err != nil {
		return nil, err
	}
	d.Activate()
	return d, nil
}

// Prepare adds an authority that isn't used yet. As in SPIRE, which has two places
// for authorities, it takes that of the old one.
func (d *Domain) Prepare() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.prepare()
}

// prepare is Prepare with d.mu held.
func (d *Domain) prepare() error {
	made, err := d.mint(nil, "", d.Lifetime)
	if err != nil {
		return err
	}
	d.prepared, d.old = made, nil
	d.authorities = append(d.authorities, made)
	return nil
}

// Activate lets the prepared authority sign from now on.
func (d *Domain) Activate() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.activate()
}

// activate is Activate with d.mu held.
func (d *Domain) activate() { d.old, d.active, d.prepared = d.active, d.prepared, nil }

// TaintOld marks the old authority as not to be trusted any longer.
func (d *Domain) TaintOld() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.old != nil {
		d.old.tainted = true
	}
}

// RevokeOld takes the old authority out of the bundle. Its state stays, as in
// SPIRE.
func (d *Domain) RevokeOld() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.authorities = slices.DeleteFunc(d.authorities, func(a *authority) bool { return a == d.old })
}

// mint makes an authority (parent nil), or the SVID at path. The caller holds d.mu.
func (d *Domain) mint(parent *authority, path string, lifetime time.Duration) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		return nil, fmt.Errorf("make a serial number: %w", err)
	}
	now := d.Now()
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{Country: []string{"US"}, Organization: []string{"SPIRE"}},
		NotBefore:             now.Add(-d.Lead),
		NotAfter:              now.Add(lifetime),
		URIs:                  []*url.URL{{Scheme: "spiffe", Host: d.Name, Path: path}},
		KeyUsage:              x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
	}
	signer := &authority{key: key, certificate: template}
	if parent == nil {
		template.IsCA, template.KeyUsage = true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign
	} else {
		signer = parent
	}
	if end := signer.certificate.NotAfter; template.NotAfter.After(end) {
		template.NotAfter = end // SPIRE never lets an SVID outlive its authority.
	}
	der, err := x509.CreateCertificate(rand.Reader, template, signer.certificate, &key.PublicKey, signer.key)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("parse what was signed: %w", err)
	}
	return &authority{key: key, certificate: certificate}, nil
}

// Issue returns an SVID for the path, signed by the active authority.
func (d *Domain) Issue(path string, lifetime time.Duration) (*x509.Certificate, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	svid, err := d.mint(d.active, path, lifetime)
	if err != nil {
		return nil, err
	}
	return svid.certificate, nil
}

// Bundle is the domain's bundle as its server has it.
func (d *Domain) Bundle() *serverapi.Bundle {
	d.mu.Lock()
	defer d.mu.Unlock()
	bundle := &serverapi.Bundle{TrustDomain: d.Name}
	for _, a := range d.authorities {
		bundle.X509Authorities = append(bundle.X509Authorities, &serverapi.X509Certificate{Asn1: a.certificate.Raw, Tainted: a.tainted})
	}
	return bundle
}

// DER is the bundle as the Workload API has it: one behind the other.
func (d *Domain) DER() []byte {
	var der bytes.Buffer
	for _, a := range d.Bundle().GetX509Authorities() {
		der.Write(a.GetAsn1())
	}
	return der.Bytes()
}

// PEM is the bundle as `spire-server bundle show` prints it.
func (d *Domain) PEM() []byte {
	var text bytes.Buffer
	for _, a := range d.Bundle().GetX509Authorities() {
		text.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.GetAsn1()}))
	}
	return text.Bytes()
}

// states returns the local authorities. The JWT authorities, which nobody here
// makes, rotate with the X.509 ones in SPIRE too.
func (d *Domain) states() (active, prepared, old *serverapi.AuthorityState) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.active.state(), d.prepared.state(), d.old.state()
}

func (a *authority) state() *serverapi.AuthorityState {
	if a == nil {
		return nil
	}
	id := sha256.Sum256(a.certificate.RawSubjectPublicKeyInfo)
	return &serverapi.AuthorityState{AuthorityId: hex.EncodeToString(id[:20]), ExpiresAt: a.certificate.NotAfter.Unix()}
}
