package dashboards

import (
	"fmt"
	"strconv"
)

const nextRebootUID = "attestation-reboot"

// nextReboot answers: may this host be rebooted, and if not, what stands in the way?
func nextReboot() Dashboard {
	return Dashboard{
		uid: nextRebootUID, title: "Attestation / Next reboot", from: "now-24h",
		description: "Whether each host will come back from a reboot by itself: disks, boot files, PCRs, TPM.",
		variables:   []variable{datasourceChoice(), jobChoice(), hostChoice()},
		rows: []row{
			{height: 4, cells: evenly(
				count("No unlock", "Disks that no TPM binding opens at the next boot: it stops at the passphrase prompt. Bind the disk anew before the reboot.",
					"instance_device:attestation_luks_unlock:failing{"+ofHost+"}", bad).runbooks("DiskUnlockWillFail"),
				count("At risk", "Disks whose every TPM binding stands on a PCR that the next boot will change, as after a kernel update. Bind anew, or be at the console for the reboot.",
					"instance_device:attestation_luks_unlock:at_risk{"+ofHost+"}", bad).runbooks("DiskUnlockAtRisk"),
				count("No way in", "Disks of the two kinds beside that no passphrase opens, either. Do not reboot: add a passphrase while the disk is open.",
					withoutFallback(), worst).runbooks("DiskWithoutFallback"),
				count("PCR diffs", "PCRs that got another value while the host was running, or aren't what the baseline says. What is bound to them fails at its next use.",
					pcrDiffers(anything)+" == 1", worst).runbooks("TPMPCRChangedWhileRunning", "TPMPCRMismatch"),
				count("Bad TPM", "TPMs that can't be read, are locked out or failed their self-test. A reboot now may stop at the passphrase prompt.",
					either(`attestation_scrape_collector_success{`+onHost+`,collector="tpm"} == 0`, "attestation_tpm_locked_out{"+onHost+"} == 1", "attestation_tpm_self_test_passed{"+onHost+"} == 0"), worst).
					runbooks("TPMUnavailable", "TPMLockedOut", "TPMSelfTestFailed"),
				count("SB lost", "Hosts that were booted without Secure Boot, and had it within the last 7 days. PCR 7 differs there.",
					"max by (instance) (attestation_boot_secure_boot_enabled{"+onHost+"}) == 0 and on (instance) instance:attestation_boot_secure_boot_on:last_seen", bad).
					runbooks("SecureBootTurnedOff"),
			)},
			{height: 6, cells: evenly(disksTable())},
			{height: 8, cells: evenly(
				table("What the next boot measures", "Loader and kernel that the next boot will measure, beside what this boot measured. CHANGED: that PCR will differ, and every binding on it fails once. Read off here which update did it.",
					hostColumn(""),
					column{heading: "File", label: "path"},
					column{heading: "PCR", label: "pcr", width: 50},
					column{heading: "Bindings", expr: files("* 0 + on (instance, pcr) group_left () count by (instance, pcr) (attestation_luks_binding_pcr_info{" + onHost + "})"), width: 80, words: []mapping{nothing()}},
					column{heading: "Same", expr: files(""), words: claim("YES", good, "CHANGED", bad), paint: background, width: 90},
				).leastFirst("Same").empty("no boot file is read").runbooks("DiskUnlockAtRisk"),
			)},
			{height: 6, cells: evenly(pcrTable())},
			{height: 6, cells: evenly(startTable())},
			{height: 8, cells: evenly(
				overTime("IMA measurements", "Entries in the measurement list since boot. It grows with new programs; a list that grows all the time slows each quote down.",
					line{expr: "max by (instance) (attestation_ima_measurements_total{" + onHost + "})", legend: "{{instance}}"},
				).unit("none", 0).empty("IMA measures nothing").runbooks("IMAViolations"),
				overTime("IMA violations", "Files that were open for reading and writing at once. Log rotation does it; where the policy doesn't exclude the file, the agent can be refused.",
					line{expr: "max by (instance) (attestation_ima_violations_total{" + onHost + "})", legend: "{{instance}}"},
				).unit("none", 0).empty("IMA measures nothing").runbooks("IMAViolations"),
				overTime("Failed authorizations", "What the TPM's dictionary-attack protection counts; at the dashed line it locks itself. A rise is somebody or something with a wrong PIN.",
					line{expr: "max by (instance) (attestation_tpm_lockout_failures{" + onHost + "})", legend: "{{instance}}"},
					line{expr: "min(attestation_tpm_lockout_max_failures{" + onHost + "})", legend: "lockout", limit: worst},
				).unit("none", 0).empty("no TPM is read").runbooks("TPMAuthorizationFailures", "TPMLockedOut"),
			)},
		},
	}
}

// What the next boot does with a disk.
const (
	unlocks = iota
	asks
	untold
	atRisk
	fails
	lost
)

// withoutFallback is the disks that the TPM won't open, and nothing else, either.
func withoutFallback() string {
	return "(" + either("instance_device:attestation_luks_unlock:failing{"+ofHost+"}", "instance_device:attestation_luks_unlock:at_risk{"+ofHost+"}") +
		") and on (instance, device) max by (instance, device) (attestation_luks_keyslots{" + onHost + `,type="other"}) == 0`
}

func disksTable() panel {
	of := func(reduce, metric, more string) string {
		return reduce + " by (instance, device) (attestation_luks_" + metric + "{" + onHost + more + "})"
	}
	// The first that holds is the verdict.
	verdict := either(
		fmt.Sprintf("(%s) * 0 + %d", withoutFallback(), lost),
		fmt.Sprintf("instance_device:attestation_luks_unlock:failing{%s} * %d", ofHost, fails),
		fmt.Sprintf("instance_device:attestation_luks_unlock:at_risk{%s} * %d", ofHost, atRisk),
		fmt.Sprintf("(%s == 0) + %d", of("min", "binding_foretellable", ""), untold),
		fmt.Sprintf("(%s == 0) + %d", of("max", "keyslots", `,type="tpm"`), asks),
		of("max", "keyslots", "")+" * 0",
	)
	return table("Will it unlock?",
		"What the next boot does with each disk. AT RISK and WON'T UNLOCK stop at the passphrase prompt; LOST has no passphrase, so don't reboot. CAN'T TELL is a binding that no measurement decides about.",
		hostColumn(overviewUID),
		column{heading: "Disk", label: "device"},
		column{heading: "Next boot", expr: verdict, paint: background, width: 140, words: []mapping{values(
			word(unlocks, "UNLOCKS", good), word(asks, "ASKS", plain), word(untold, "CAN'T TELL", waiting),
			word(atRisk, "AT RISK", bad), word(fails, "WON'T UNLOCK", bad), word(lost, "LOST", worst),
		)}},
		column{heading: "Bindings", expr: "count by (instance, device) (attestation_luks_binding_foretellable{" + onHost + "})", width: 84, words: []mapping{nothing()}},
		column{heading: "Hold now", expr: of("sum", "binding_satisfied", ""), width: 90, words: []mapping{nothing()}},
		column{heading: "TPM slots", expr: of("max", "keyslots", `,type="tpm"`), width: 90},
		column{heading: "Other slots", expr: of("max", "keyslots", `,type="other"`), width: 100, colors: colored(worst, from(1, good)), paint: letters},
	).worstFirst("Next boot").empty("no encrypted disk is read").runbooks("DiskUnlockWillFail", "DiskUnlockAtRisk", "DiskWithoutFallback")
}

func files(more string) string {
	return "min by (instance, path, pcr) (attestation_boot_file_matches_measured{" + onHost + "}) " + more
}

// pcrDiffers is 1 for a PCR that isn't what baseline or event log say, by instance and
// pcr.
func pcrDiffers(pcrs string) string {
	beside := func(what, metric string) string {
		return fmt.Sprintf(`label_replace(%s{%s,pcr=~"%s"}, "beside", "%s", "", "")`, metric, onHost, pcrs, what)
	}
	return "max by (instance, pcr) ((" + either(
		beside("baseline", "attestation_tpm_pcr_matches_baseline"),
		beside("log", "attestation_boot_event_log_matches"),
	) + ") == bool 0)"
}

// pcrTable has the PCRs that are measured before the operating system runs.
func pcrTable() panel {
	const bootPCRs = 8
	columns := []column{hostColumn("")}
	for pcr := range bootPCRs {
		n := strconv.Itoa(pcr)
		columns = append(columns, column{
			heading: n,
			expr:    "max by (instance) (" + pcrDiffers(n) + ")",
			words:   []mapping{values(word(0, "SAME", good), word(1, "DIFF", worst)), nothing()}, paint: background,
		})
	}
	return table("PCRs", "Each PCR beside the baseline and the firmware's event log. DIFF after a reboot is a change of firmware, loader or Secure Boot keys; without a reboot somebody extended the PCR.", columns...).
		empty("no PCR is compared").runbooks("TPMPCRMismatch", "TPMPCRChangedWhileRunning", "BootEventLogMismatch")
}

// startTable says of each host how it was started, and in what state its TPM is.
func startTable() panel {
	of := func(reduce, metric string) string {
		return reduce + " by (instance) (attestation_" + metric + "{" + onHost + "})"
	}
	return table("TPM and boot", "Health of the TPM, and how the host was started. Where the log doesn't explain all PCRs, or the forecast says NO, the next start can't be foretold: silence above is no promise then.",
		hostColumn(""),
		column{heading: "Self-test", expr: of("min", "tpm_self_test_passed"), words: claim("PASSED", good, "FAILED", worst), paint: background},
		column{heading: "Lockout", expr: of("max", "tpm_locked_out"), words: claim("LOCKED", worst, "NO", good), paint: background},
		column{heading: "Resets", expr: of("max", "tpm_resets_total"), words: []mapping{nothing()}},
		column{heading: "Baseline", expr: "time() - " + of("max", "tpm_pcr_baseline_timestamp_seconds"), unit: "s", decimals: new(1), words: []mapping{nothing()}},
		column{heading: "Secure Boot", expr: of("max", "boot_secure_boot_enabled"), words: claim("ON", good, "OFF", bad), paint: background},
		column{heading: "Log", expr: of("min", "boot_event_log_matches"), words: claim("COMPLETE", good, "PARTLY", bad), paint: background},
		column{heading: "Forecast", expr: of("min", "boot_forecast_available"), words: claim("YES", good, "NO", waiting), paint: background},
	).leastFirst("Self-test").empty("no TPM and no boot is read").runbooks("TPMSelfTestFailed", "TPMLockedOut", "TPMCleared", "SecureBootTurnedOff", "BootEventLogMismatch")
}
