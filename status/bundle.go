package status

import "fmt"

// bundles are copies of trust bundles. One is judged by the authority that ends
// last: healthy ones expire daily, and stay in the file.
func (v view) bundles() []Row {
	var rows []Row
	for _, failed := range v.samples["attestation_trust_bundle_load_failed"] {
		rows = append(rows, v.wrong(bundleUnreadable, TrustBundle, failed.label("bundle"), "can't be read (%s)", failed.label("reason")))
	}
	for _, valid := range v.samples.only("attestation_trust_bundle_authorities", "state", "valid") {
		rows = append(rows, v.bundle(valid.label("bundle"), valid.label("trust_domain"), valid.value)...)
	}
	return rows
}

func (v view) bundle(bundle, domain string, valid float64) []Row {
	labels := []string{"bundle", bundle, "trust_domain", domain}
	total := 0.0
	for _, one := range v.samples.only("attestation_trust_bundle_authorities", labels...) {
		total += one.value
	}
	row := v.fine(TrustBundle, bundle, "%.0f valid of %.0f", valid, total)
	end, ends := v.samples.value("attestation_trust_bundle_last_expiry_timestamp_seconds", labels...)
	lifetime, known := v.samples.value("attestation_trust_bundle_last_lifetime_seconds", labels...)
	remaining := end - v.now
	if ends {
		row.Text += "; " + left(remaining) + shareOf(remaining, lifetime)
		row = row.ending(remaining, lifetime)
	}
	state := OK
	if ends && known {
		state = BundleThresholds().Judge(remaining, lifetime)
	}
	switch {
	case valid == 0:
		row = row.because(bundleUnreadable)
	case state == Critical:
		row = row.because(bundleExpiryCritical)
	case state == Warning:
		row = row.because(bundleExpiringSoon)
	}
	// Lacking one is a fault only after hours, which the rules wait for.
	if missing, ok := v.samples.value("attestation_trust_bundle_missing_authorities", labels...); ok && missing > 0 {
		row.Text += "; lacks " + counted(missing, "authority", "authorities") + " of the live bundle"
	}
	row.Valid, row.Total = &valid, &total
	rows := []Row{row}
	if tainted, ok := v.samples.value("attestation_trust_bundle_tainted_authorities", labels...); ok && tainted > 0 {
		rows = append(rows, v.wrong(bundleOutdated, TrustBundle, bundle, "holds %s withdrawn from the live bundle", counted(tainted, "authority that was", "authorities that were")))
	}
	return rows
}

// because makes a row one for the person on call, and keeps what it says.
func (r Row) because(a alert) Row {
	r.State, r.Alert = a.severity(), string(a)
	return r
}

// shareOf says which part of its life a thing has left.
func shareOf(remaining, lifetime float64) string {
	if lifetime <= 0 || remaining < 0 {
		return ""
	}
	return fmt.Sprintf(", %.0f %% of life", 100*remaining/lifetime)
}
