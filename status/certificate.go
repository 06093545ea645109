package status

// certificates are of files, endpoints, SVIDs and the TPM.
func (v view) certificates() []Row {
	begins := map[[2]string]float64{}
	for _, seen := range v.samples["attestation_certificate_first_seen_timestamp_seconds"] {
		begins[certificateKey(seen)] = seen.value // The rules, too, take this where the start isn't told.
	}
	for _, begin := range v.samples["attestation_certificate_not_before_timestamp_seconds"] {
		begins[certificateKey(begin)] = begin.value
	}
	var rows []Row
	for _, end := range v.samples["attestation_certificate_not_after_timestamp_seconds"] {
		begin, ok := begins[certificateKey(end)]
		rows = append(rows, v.certificate(end, begin, ok))
	}
	for _, chain := range v.samples["attestation_certificate_chain_valid"] {
		if chain.value == 0 {
			rows = append(rows, v.wrong(certificateChain, Certificate, certificateName(chain), "doesn't verify against %s", chain.label("authority")))
		}
	}
	for _, failed := range v.samples["attestation_certificate_load_failed"] {
		rows = append(rows, v.wrong(certificateUnreadable, Certificate, certificateName(failed), "can't be read (%s)", failed.label("reason")))
	}
	return rows
}

func certificateKey(one sample) [2]string { return [2]string{one.label("kind"), one.label("name")} }

// certificateName is the path or address, with the kind where that tells nothing.
func certificateName(one sample) string {
	if one.label("kind") == "ek" {
		return "EK " + one.label("name")
	}
	return one.label("name")
}

func (v view) certificate(end sample, begin float64, begun bool) Row {
	remaining, lifetime := end.value-v.now, 0.0
	state := OK
	if begun {
		lifetime = end.value - begin
		state = CertificateThresholds().Judge(remaining, lifetime)
	}
	row := v.fine(Certificate, certificateName(end), "%s", left(remaining)+shareOf(remaining, lifetime))
	ek := end.label("kind") == "ek" // Nobody can renew it: its end is foretold, and no trouble.
	switch {
	case remaining < 0 && !ek:
		row = row.because(certificateExpired)
	case remaining < 0:
	case state == Critical && !ek:
		row = row.because(certificateCritical)
	case state != OK:
		row = row.because(certificateExpiringSoon)
	case begun && begin > v.now:
		row = row.because(certificateNotYetValid)
		row.Text = "begins only in " + span(begin-v.now)
	}
	return row.ending(remaining, lifetime)
}
