package spire

import (
	"crypto/x509"
	"encoding/asn1"
	"fmt"

	"funlab.casa/attestation_exporter/certs"
	"funlab.casa/attestation_exporter/failure"
	serverapi "funlab.casa/attestation_exporter/spire/proto/server"
)

// parseAuthorities parses certificates in DER, one behind the other. One that
// doesn't parse is left out and in the error: it must not hide the others.
func parseAuthorities(der []byte) ([]certs.Authority, error) {
	var authorities []certs.Authority
	var bad rejects
	for rest := der; len(rest) > 0; {
		var element asn1.RawValue
		next, err := asn1.Unmarshal(rest, &element)
		if err != nil {
			bad.add(failure.Errorf(failure.Malformed, "no DER, and nothing behind it can be read: %w", err))
			break
		}
		rest = next
		authority, err := parseAuthority(element.FullBytes)
		if err != nil {
			bad.add(err)
			continue
		}
		authorities = append(authorities, authority)
	}
	return authorities, bad.error("authorities")
}

// rejects counts what was wrong among many and keeps the first error: a hostile
// answer has room for a million of them.
type rejects struct {
	count int
	first error
}

func (r *rejects) add(err error) {
	if r.count == 0 {
		r.first = err
	}
	r.count++
}

func (r *rejects) error(what string) error {
	if r.count == 0 {
		return nil
	}
	return fmt.Errorf("%d bad %s, the first: %w", r.count, what, r.first)
}

func parseAuthority(der []byte) (certs.Authority, error) {
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return certs.Authority{}, failure.Wrap(failure.Malformed, err)
	}
	return certs.AuthorityOf(certificate), nil
}

// liveBundle is the server's own bundle.
func liveBundle(bundle *serverapi.Bundle) (certs.LiveBundle, error) {
	live := certs.LiveBundle{TrustDomain: bundle.GetTrustDomain(), Source: "server"}
	var bad rejects
	for _, entry := range bundle.GetX509Authorities() {
		authority, err := parseAuthority(entry.GetAsn1())
		if err != nil {
			bad.add(err)
			continue
		}
		authority.Tainted = entry.GetTainted()
		live.Authorities = append(live.Authorities, authority)
	}
	return live, bad.error("authorities")
}
