package dashboards

import "fmt"

const certificatesUID = "attestation-certificates"

// certificates answers: what ends next, why wasn't it renewed, and what is wrong with
// what hasn't ended?
func certificates() Dashboard {
	loadFailures := "max by (instance, name, reason) (" + either(
		"attestation_certificate_load_failed{"+onHost+"}",
		`label_replace(attestation_trust_bundle_load_failed{`+onHost+`}, "name", "$1", "bundle", "(.*)")`,
	) + ")"
	return Dashboard{
		uid: certificatesUID, title: "Attestation / Certificates", from: "now-24h",
		description: "Everything that ends: certificates, copies of the trust bundle, SPIRE's authorities, and the timers that renew them.",
		variables:   []variable{datasourceChoice(), jobChoice(), hostChoice(), bundleChoice()},
		rows: []row{
			{height: 4, cells: evenly(
				count("Critical", "What has less left than the critical limit, or has ended. Renew it by hand now; the tables below say what and where.",
					"("+left()+") < "+life("critical_seconds"), worst).
					runbooks("CertificateExpiryCritical", "CertificateExpired", "TrustBundleExpiryCritical", "SPIREAuthorityNotRotated"),
				count("Warnings", "What has less left than the warning limit: the renewal that should have come has not. Look at its timer below.",
					"("+left()+") < "+life("warning_seconds"), bad).
					runbooks("CertificateExpiringSoon", "TrustBundleExpiringSoon"),
				count("Untrusted", "Chains that don't verify although nothing has ended: mostly an intermediate that is missing in the file. Peers refuse new connections.",
					"attestation_certificate_chain_valid{"+onHost+"} == 0", worst).runbooks("CertificateChainInvalid"),
				count("Unread", "Certificates and bundles that can't be read, so that nobody knows when they end.",
					"attestation_certificate_load_failed{"+onHost+"} or attestation_trust_bundle_load_failed{"+onHost+"}", bad).
					runbooks("CertificateUnreadable", "TrustBundleUnreadable"),
				count("No bundle", "Copies of the trust bundle without a valid authority: a SPIRE agent that restarts there can't bootstrap. Don't reboot the host before the copy is renewed.",
					`attestation_trust_bundle_authorities{`+onHost+`,bundle=~"$bundle",state="valid"} == 0`, worst).runbooks("TrustBundleUnreadable"),
				count("Bad timer", "Timers that are stopped, not loaded or late, or whose service failed at its last run. They are in the table of timers.",
					timerTrouble(), bad).
					runbooks("TimerNotRunning", "TimerOverdue", "TimerServiceFailed"),
			)},
			{height: 10, cells: evenly(
				table("What ends", "Sorted by the share of life that is left. Limits are the lesser of a time (7 and 3 days) and a share of the life, as the rules have them; the bundle's shares are half as large. What is WARN or CRIT wasn't renewed in time.",
					hostColumn(overviewUID),
					column{heading: "Kind", label: "kind", width: 120},
					column{heading: "Name", label: "name"},
					column{heading: "Left", expr: left(), unit: "s", decimals: new(1), width: 96},
					column{heading: "Life left", expr: lifeLeft(), unit: "percentunit", decimals: new(0), width: 96},
					column{heading: "Warns at", expr: life("warning_seconds"), unit: "s", decimals: new(1), width: 90},
					column{heading: "State", expr: lifeLevel(), words: levels(), paint: background, width: 76},
				).leastFirst("Life left").empty("nothing expires").runbooks("CertificateExpiringSoon", "CertificateExpiryCritical"),
			)},
			{height: 9, cells: evenly(
				overTime("Certificates: least life left", "The worst certificate of each kind. A healthy renewal turns far above the dashed lines; a line that falls through them wasn't renewed. For what lives longer than 21 days the limits are 7 and 3 days instead, and the table above is right.",
					line{expr: "min by (kind) (" + lifeLeft() + " unless " + life("end", `kind=~"ek|bundle|.* authority"`) + ")", legend: "{{kind}}"},
					line{expr: parameter("certificate_warning_share"), legend: "warning", limit: bad},
					line{expr: parameter("certificate_critical_share"), legend: "critical", limit: worst},
				).unit("percentunit", 0).most(1).runbooks("CertificateExpiringSoon"),
				overTime("Least time left", "For what lives for months: the dashed lines are 7 and 3 days. What lives for hours is always below them, and judged by its share.",
					line{expr: "clamp_min(min by (kind) (" + left() + "), 60)", legend: "{{kind}}"},
					line{expr: parameter("certificate_warning_seconds"), legend: "warning", limit: bad},
					line{expr: parameter("certificate_critical_seconds"), legend: "critical", limit: worst},
				).unit("s", 0).logarithmic().runbooks("CertificateExpiringSoon"),
			)},
			{height: 10, cells: evenly(
				overTime("Renewals", "The saw-tooth of each thing that lives longer than two hours: a tooth is a renewal. One that doesn't come back up is the one to look at. Choose hosts above when there are too many.",
					line{expr: lifeLeft() + " and " + life("length_seconds", `kind!="ek"`) + " > 7200", legend: "{{instance}} {{name}}"},
				).unit("percentunit", 0).most(1).beside().runbooks("CertificateExpiringSoon", "TimerServiceFailed"),
			)},
			{height: 8, cells: evenly(bundlesTable())},
			{height: 10, cells: evenly(timersTable())},
			{height: 7, cells: evenly(
				table("Chains", "A chain that doesn't verify is refused by every peer that trusts only that authority. Put the intermediate back into the file.",
					hostColumn(""),
					column{heading: "Certificate", label: "name"},
					column{heading: "Against", label: "authority"},
					column{heading: "Verifies", expr: "min by (instance, name, authority) (attestation_certificate_chain_valid{" + onHost + "})", words: claim("YES", good, "NO", worst), paint: background, width: 84},
				).leastFirst("Verifies").empty("no chain is verified").runbooks("CertificateChainInvalid"),
			)},
			{height: 5, cells: evenly(
				table("Load failures", "Files and endpoints that can't be read in whole, with the reason. A file that was caught half written mends itself with the next reading.",
					hostColumn(""),
					column{heading: "What", label: "name"},
					column{heading: "Reason", label: "reason", width: 110},
					column{heading: "Failed", expr: either(
						loadFailures,
						`label_replace(label_replace(vector(0) unless on () (`+loadFailures+`), "name", "everything can be read", "", ""), "reason", "—", "", "")`,
					), words: claim("YES", worst, "NO", good), paint: background, width: 76},
				).worstFirst("Failed").runbooks("CertificateUnreadable", "TrustBundleUnreadable"),
			)},
		},
	}
}

// ofTimers is a metric of each timer.
func ofTimers(reduce, metric string) string {
	return reduce + " by (instance, timer) (attestation_timer_" + metric + "{" + onHost + "})"
}

// overdue is how long after its next trigger, its delay granted, a timer hasn't fired.
func overdue() string {
	return "(time() - " + ofTimers("max", "next_trigger_timestamp_seconds") + " - " + ofTimers("max", "delay_max_seconds") + ")"
}

// timerTrouble is the timers that don't run, are late, or whose service failed.
func timerTrouble() string {
	return either(
		ofTimers("min", "loaded")+" == 0", ofTimers("min", "active")+" == 0", ofTimers("min", "service_result_success")+" == 0",
		overdue()+" > scalar("+parameter("timer_overdue_seconds")+")",
	)
}

func bundlesTable() panel {
	const selector = `{` + onHost + `,bundle=~"$bundle"`
	by := func(metric, more string) string {
		return "sum by (instance, bundle) (attestation_trust_bundle_" + metric + selector + more + "})"
	}
	bundleLife := func(what string) string {
		return `label_replace(instance_kind_name:attestation_life:` + what + `{kind="bundle",` + ofHost + `,name=~"$bundle"}, "bundle", "$1", "name", "(.*)")`
	}
	of := func(expr string) string { return "max by (instance, bundle) (" + expr + ")" }
	ends := of(bundleLife("end"))
	return table("Trust bundles", "Authorities that end daily are healthy while newer ones are there: Valid must not be 0, Missing must not last longer than the timer's period. A tainted authority must leave the copy at once.",
		hostColumn(overviewUID),
		column{heading: "Bundle", label: "bundle"},
		column{heading: "Valid", expr: by("authorities", `,state="valid"`), width: 64, colors: colored(worst, from(1, good)), paint: letters},
		column{heading: "Of", expr: by("authorities", ""), width: 42},
		column{heading: "Missing", expr: by("missing_authorities", ""), width: 76, colors: colored(good, from(1, bad)), paint: letters},
		column{heading: "Tainted", expr: by("tainted_authorities", ""), width: 76, colors: colored(good, from(1, worst)), paint: letters},
		column{heading: "Left", expr: ends + " - time()", unit: "s", decimals: new(1), width: 84},
		column{heading: "Written", expr: "time() - max by (instance, bundle) (attestation_trust_bundle_modified_timestamp_seconds" + selector + "})", unit: "s", decimals: new(0), width: 76},
		column{heading: "State", expr: fmt.Sprintf("(%s - time() < bool %s) * %d\n+\n(%s - time() < bool %s)", ends, of(bundleLife("warning_seconds")), levelWarning, ends, of(bundleLife("critical_seconds"))),
			words: levels(), paint: background, width: 72},
	).worstFirst("State").empty("no bundle is read").runbooks("TrustBundleExpiringSoon", "TrustBundleOutdated", "TrustBundleUnreadable")
}

func timersTable() panel {
	return table("Timers", "What renews everything above. A timer that is STOPPED or LATE renews nothing; where the last run FAILED, read the journal of its service.",
		hostColumn(overviewUID),
		column{heading: "Timer", label: "timer"},
		column{heading: "Running", expr: either(ofTimers("min", "loaded")+" == 0", ofTimers("min", "active")), words: claim("YES", good, "STOPPED", bad), paint: background, width: 90},
		column{heading: "On time", expr: overdue() + " <= bool scalar(" + parameter("timer_overdue_seconds") + ")", words: claim("YES", good, "LATE", bad), paint: background, width: 84},
		column{heading: "Last run", expr: ofTimers("min", "service_result_success"), words: claim("OK", good, "FAILED", bad), paint: background, width: 84},
		column{heading: "Ran", expr: "time() - " + ofTimers("max", "last_trigger_timestamp_seconds"), unit: "s", decimals: new(0), width: 90, words: []mapping{nothing()}},
		column{heading: "Runs in", expr: ofTimers("max", "next_trigger_timestamp_seconds") + " - time()", unit: "s", decimals: new(0), width: 90, words: []mapping{nothing()}},
	).leastFirst("Running", "Last run").empty("no timer is watched").runbooks("TimerNotRunning", "TimerOverdue", "TimerServiceFailed", "TimerServiceStuck")
}
