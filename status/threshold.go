package status

// Thresholds say when something that ends is a matter for a person: when less is
// left of it than the lesser of a fixed time and a share of its whole life. So one
// rule serves what lives for an hour and what lives for years.
type Thresholds struct {
	WarningSeconds, WarningShare   float64
	CriticalSeconds, CriticalShare float64
}

const day = 86400.0

// CertificateThresholds are those of the rules' certificate_* parameters.
func CertificateThresholds() Thresholds {
	return Thresholds{WarningSeconds: 7 * day, WarningShare: 1.0 / 3, CriticalSeconds: 3 * day, CriticalShare: 1.0 / 6}
}

// BundleThresholds are those of the rules' trust_bundle_* parameters. The shares
// are half of a certificate's: the copy of a bundle that a daily authority rotates
// rightly lags behind by hours.
func BundleThresholds() Thresholds {
	return Thresholds{WarningSeconds: 7 * day, WarningShare: 1.0 / 6, CriticalSeconds: 3 * day, CriticalShare: 1.0 / 12}
}

// Judge says what remaining seconds of a life of lifetime seconds mean. It counts in
// floating point as Prometheus does, so that both draw the line at one place.
func (t Thresholds) Judge(remaining, lifetime float64) State {
	switch {
	case remaining < min(lifetime*t.CriticalShare, t.CriticalSeconds):
		return Critical
	case remaining < min(lifetime*t.WarningShare, t.WarningSeconds):
		return Warning
	}
	return OK
}
