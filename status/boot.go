package status

import (
	"fmt"
	"strings"
)

// boot tells what is known of this boot. No alert about it can be seen from one
// exposition: whether the log's disagreement is new, or Secure Boot was on before, is
// the rules' to remember.
func (v view) boot() []Row {
	var facts []string
	if on, ok := v.samples.value("attestation_boot_secure_boot_enabled"); ok {
		facts = append(facts, map[bool]string{true: "Secure Boot on", false: "Secure Boot off"}[on == 1])
	}
	unexplained := v.pcrs(0, "attestation_boot_event_log_matches")
	switch explained := v.pcrs(1, "attestation_boot_event_log_matches"); {
	case len(unexplained) > 0:
		facts = append(facts, "the event log doesn't explain PCR "+strings.Join(unexplained, ", "))
	case len(explained) > 0:
		facts = append(facts, "the event log explains "+counted(float64(len(explained)), "PCR", "PCRs"))
	}
	if fact, ok := v.nextBoot(); ok {
		facts = append(facts, fact)
	}
	if measurements, ok := v.samples.value("attestation_ima_measurements_total"); ok {
		violations, _ := v.samples.value("attestation_ima_violations_total")
		facts = append(facts, fmt.Sprintf("IMA: %s, %s", counted(measurements, "measurement", "measurements"), counted(violations, "violation", "violations")))
	}
	if len(facts) == 0 {
		return nil
	}
	return []Row{v.fine(Boot, "boot", "%s", strings.Join(facts, "; "))}
}

func (v view) nextBoot() (string, bool) {
	available, ok := v.samples.value("attestation_boot_forecast_available")
	if !ok {
		return "", false
	}
	var changed []string
	for _, file := range v.samples["attestation_boot_file_matches_measured"] {
		if file.value == 0 {
			changed = append(changed, file.label("path"))
		}
	}
	switch {
	case len(changed) > 0:
		return "the next boot measures another " + strings.Join(changed, ", "), true
	case available == 1:
		return "the next boot measures the same", true
	}
	return "no forecast of the next boot", true
}
