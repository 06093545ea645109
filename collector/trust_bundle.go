package collector

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"funlab.casa/attestation_exporter/certs"
)

var (
	trustBundleAuthorities = newDesc("trust_bundle", "authorities",
		"X.509 authorities in the bundle, by state.", "bundle", "trust_domain", "state")
	trustBundleFirstExpiry = newDesc("trust_bundle", "first_expiry_timestamp_seconds",
		"When the first of the valid authorities ends.", "bundle", "trust_domain")
	trustBundleLastExpiry = newDesc("trust_bundle", "last_expiry_timestamp_seconds",
		"When the authority that ends last does or did, and the bundle with it.", "bundle", "trust_domain")
	trustBundleLastLifetime = newDesc("trust_bundle", "last_lifetime_seconds",
		"Whole lifetime of the authority that ends last.", "bundle", "trust_domain")
	trustBundleMissing = newDesc("trust_bundle", "missing_authorities",
		"Authorities of the live bundle that this copy lacks; absent where no live bundle is seen from here.", "bundle", "trust_domain")
	trustBundleTainted = newDesc("trust_bundle", "tainted_authorities",
		"Valid authorities in this copy that the live bundle calls tainted or has no longer; absent where no live bundle is seen from here.",
		"bundle", "trust_domain")
	trustBundleModified = newDesc("trust_bundle", "modified_timestamp_seconds",
		"When the bundle's file was last modified.", "bundle")
	trustBundleLoadFailed = newDesc("trust_bundle", "load_failed",
		"Bundles of which no authority could be read, by reason.", "bundle", "reason")
)

type trustBundleCollector struct {
	read func(context.Context) (certs.BundleReading, error)
}

// NewTrustBundle returns the collector of trust bundles, whose authorities are
// judged at the moment of the reading.
func NewTrustBundle(read func(context.Context) (certs.BundleReading, error)) Collector {
	return trustBundleCollector{read: read}
}

func (c trustBundleCollector) Update(ctx context.Context, ch chan<- prometheus.Metric) error {
	reading, err := c.read(ctx)
	for _, bundle := range reading.Bundles {
		sendTrustBundle(ch, bundle, reading.At)
		if live, ok := bundle.LiveIn(reading.Live); ok && bundle.Failed == "" {
			difference := certs.Compare(bundle.Authorities, live.Authorities, reading.At)
			gauge(ch, trustBundleMissing, float64(difference.Missing), bundle.Name, bundle.TrustDomain)
			gauge(ch, trustBundleTainted, float64(difference.Tainted), bundle.Name, bundle.TrustDomain)
		}
	}
	return certificateError("read trust bundles", err)
}

func sendTrustBundle(ch chan<- prometheus.Metric, b certs.Bundle, now time.Time) {
	moment(ch, trustBundleModified, b.Modified, b.Name)
	if b.Failed != "" {
		gauge(ch, trustBundleLoadFailed, 1, b.Name, string(b.Failed))
		return
	}
	validity := b.At(now)
	for state, n := range validity.Authorities {
		gauge(ch, trustBundleAuthorities, float64(n), b.Name, b.TrustDomain, string(state))
	}
	moment(ch, trustBundleFirstExpiry, validity.FirstExpiry, b.Name, b.TrustDomain)
	if last := validity.Last; last != nil {
		moment(ch, trustBundleLastExpiry, last.NotAfter, b.Name, b.TrustDomain)
		// In seconds, since a time.Duration ends at 292 years and certificates
		// without an end (RFC 5280, section 4.1.2.5) do not.
		lifetime := last.NotAfter.Unix() - last.NotBefore.Unix()
		gauge(ch, trustBundleLastLifetime, float64(lifetime), b.Name, b.TrustDomain)
	}
}
