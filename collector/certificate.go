package collector

import (
	"context"
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"funlab.casa/attestation_exporter/certs"
)

var (
	certificateNotBefore = newDesc("certificate", "not_before_timestamp_seconds",
		"Start of validity of the certificate in the chain that ends first.", "kind", "name")
	certificateFirstSeen = newDesc("certificate", "first_seen_timestamp_seconds",
		"When a certificate was first seen whose start of validity isn't told, and whose whole lifetime isn't known therefore.", "kind", "name")
	certificateNotAfter = newDesc("certificate", "not_after_timestamp_seconds",
		"End of validity of the certificate in the chain that ends first.", "kind", "name")
	certificateInfo = newDesc("certificate", "info",
		"Subject and issuer of the certificate in the chain that ends first.", "kind", "name", "subject", "issuer")
	certificateChainValid = newDesc("certificate", "chain_valid",
		"Whether the chain verifies against the authority, and an endpoint's for its host name, the leaf's own validity aside; 0 means that a client would refuse it.",
		"kind", "name", "authority")
	certificateLoadFailed = newDesc("certificate", "load_failed",
		"Certificates that could not be read in whole, by reason.", "kind", "name", "reason")
)

type certificateCollector struct {
	read func(context.Context) (certs.Reading, error)
}

// NewCertificate returns the collector of certificates in files and at endpoints.
func NewCertificate(read func(context.Context) (certs.Reading, error)) Collector {
	return certificateCollector{read: read}
}

func (c certificateCollector) Update(ctx context.Context, ch chan<- prometheus.Metric) error {
	reading, err := c.read(ctx)
	for _, load := range reading.Loads {
		if load.Certificate != nil {
			sendCertificate(ch, load.Kind, load.Name, *load.Certificate)
		}
		if load.Failed != "" {
			gauge(ch, certificateLoadFailed, 1, load.Kind, load.Name, string(load.Failed))
		}
	}
	for _, v := range reading.Verdicts {
		claim(ch, certificateChainValid, v.Valid, v.Kind, v.Name, v.Authority)
	}
	return certificateError("read certificates", err)
}

// certificateError turns the source's word for a host without any into the
// collector's.
func certificateError(doing string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, certs.ErrAbsent):
		return fmt.Errorf("%s: %w", doing, ErrNoData)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// sendCertificate sends the series that every certificate has, wherever it was
// read.
func sendCertificate(ch chan<- prometheus.Metric, kind, name string, c certs.Certificate) {
	moment(ch, certificateNotBefore, c.NotBefore, kind, name)
	moment(ch, certificateFirstSeen, c.FirstSeen, kind, name)
	moment(ch, certificateNotAfter, c.NotAfter, kind, name)
	gauge(ch, certificateInfo, 1, kind, name, c.Subject, c.Issuer)
}
