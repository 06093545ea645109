package status

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

func (v view) tpm() []Row {
	if v.failed("tpm") {
		return []Row{v.wrong(tpmUnavailable, TPM, "TPM", "can't be read%s", v.reason("tpm"))}
	}
	var rows []Row
	if v.samples.is(1, "attestation_tpm_locked_out") {
		rows = append(rows, v.wrong(tpmLockedOut, TPM, "TPM", "is locked out: every key and secret with protection against guessing is refused"))
	}
	if v.samples.is(0, "attestation_tpm_self_test_passed") {
		rows = append(rows, v.wrong(tpmSelfTestFailed, TPM, "TPM", "failed its self-test"))
	}
	if different := v.pcrs(0, "attestation_tpm_pcr_matches_baseline"); len(different) > 0 {
		rows = append(rows, v.wrong(tpmPCRMismatch, TPM, "PCR "+strings.Join(different, ", "), "not as in the baseline%s", v.baselineAge()))
	}
	if len(rows) > 0 {
		return rows
	}
	return v.healthyTPM()
}

func (v view) healthyTPM() []Row {
	infos := v.samples["attestation_tpm_info"]
	if len(infos) == 0 {
		return nil
	}
	var facts []string
	if same := v.pcrs(1, "attestation_tpm_pcr_matches_baseline"); len(same) > 0 {
		facts = append(facts, counted(float64(len(same)), "PCR", "PCRs")+" as in the baseline"+v.baselineAge())
	} else {
		facts = append(facts, "no baseline of its PCRs")
	}
	if failures, ok := v.samples.value("attestation_tpm_lockout_failures"); ok {
		limit, _ := v.samples.value("attestation_tpm_lockout_max_failures")
		facts = append(facts, fmt.Sprintf("%.0f of %.0f failed authorizations", failures, limit))
	}
	name := strings.TrimSpace("TPM " + infos[0].label("vendor"))
	return []Row{v.fine(TPM, name, "%s", strings.Join(facts, ", "))}
}

func (v view) baselineAge() string {
	taken, ok := v.samples.value("attestation_tpm_pcr_baseline_timestamp_seconds")
	if !ok || taken > v.now {
		return ""
	}
	return " of " + span(v.now-taken) + " ago"
}

// pcrs names the PCRs for which a metric has a value, in the order of their
// numbers, with their bank where it isn't the usual one.
func (v view) pcrs(value float64, metric string) []string {
	var found []sample
	for _, one := range v.samples[metric] {
		if one.value == value {
			found = append(found, one)
		}
	}
	slices.SortFunc(found, func(a, b sample) int { return pcrNumber(a) - pcrNumber(b) })
	var names []string
	for _, one := range found {
		name := one.label("pcr")
		if bank := one.label("bank"); bank != "sha256" {
			name += " (" + bank + ")"
		}
		names = append(names, name)
	}
	return names
}

// pcrNumber is 0 for what isn't one: it then only sorts oddly.
func pcrNumber(one sample) int {
	number, err := strconv.ParseInt(one.label("pcr"), 10, 16)
	if err != nil {
		return 0
	}
	return int(number)
}
