package dashboards

import "fmt"

const overviewUID = "attestation-overview"

// overview answers: which layer of which host is broken, and since when?
func overview() Dashboard {
	// An endorsement key's certificate is never renewed, and far from its end.
	renewedLifeLeft := lifeLeft() + " unless " + life("end", `kind="ek"`)
	nearest := "bottomk(7, " + renewedLifeLeft + ")"
	return Dashboard{
		uid: overviewUID, title: "Attestation / Tower overview", from: "now-6h",
		description: "Every host as a row, every layer of its chain of trust as a column, worst first.",
		variables:   []variable{datasourceChoice(), jobChoice(), hostChoice()},
		rows: []row{
			{height: 4, cells: evenly(
				count("Critical", "Alerts that wake somebody, those included that Alertmanager keeps back because of a worse one. Begin with the first row of the alerts below, and follow its link to the runbook.",
					firing(`severity="critical"`), worst).explained("All alerts", "alerts.md"),
				count("Warnings", "Alerts to be looked at today. Each has a runbook, which the alerts below link to.",
					firing(`severity="warning"`), bad).explained("All alerts", "alerts.md"),
				count("Silent", "Exporters that don't answer. Nothing is known of such a host: see whether it is up, then whether its exporter is.",
					`attestation:target:up{`+onHost+`} == 0`, worst).runbooks("AttestationExporterDown"),
				stat("Attested", "Share of Keylime's agents whose last success is as fresh as it must be. Below 100 %, open Agents and look for the oldest success.",
					"(count("+inTime+") or vector(0)) / count(agent:attestation_keylime_agent:known)").
					unit("percentunit", 0).scale(worst, from(1, good)).empty("no agents").
					opens(agentsUID, "Agents").runbooks("KeylimeAttestationStale", "KeylimeNobodyAttested"),
				stat("Rate", "Successful attestations of all agents. It is about the number of agents divided by the quote interval; 0 with agents there means that nobody is watched.",
					attestationRate("")+" or vector(0)").unit("suffix: /s", 1).scale(plain).
					opens(agentsUID, "Agents").runbooks("KeylimeNobodyAttested"),
				stat("Life left", "The smallest share of life left of all that expires. Which thing it is stands in Nearest ends; a healthy renewal comes at half of the life.",
					"min("+renewedLifeLeft+")").unit("percentunit", 0).scale(worst, from(0.001, plain)).empty("nothing expires").
					opens(certificatesUID, "Certificates"),
			)},
			{height: 7, cells: evenly(hostsByLayer())},
			{height: 7, cells: evenly(alertsTable())},
			{height: 8, cells: evenly(
				table("Nearest ends", "What has the smallest share of its life left. If its state isn't OK, the renewal has failed: look at the timer that does it, then at its service's journal.",
					hostColumn(certificatesUID),
					column{heading: "Kind", label: "kind", width: 110},
					column{heading: "What", label: "name"},
					column{heading: "Left", expr: "(" + left() + ")\nand\n" + nearest, unit: "s", decimals: new(1), width: 90},
					column{heading: "Life left", expr: nearest, unit: "percentunit", decimals: new(0), width: 96},
					column{heading: "State", expr: "(" + lifeLevel() + ")\nand\n" + nearest, words: levels(), paint: background, width: 70},
				).leastFirst("Life left").opens(certificatesUID, "Certificates").runbooks("CertificateExpiringSoon", "TrustBundleExpiringSoon"),
			)},
			{height: 7, cells: evenly(
				overTime("Attestations", "Successful attestations by verifier. A fall to 0 while agents are there means that this verifier attests nobody, whatever its verdicts say.",
					line{expr: attestationRate("verifier"), legend: "{{verifier}}"},
				).unit("suffix: /s").empty("no verifier").opens(agentsUID, "Agents").runbooks("KeylimeNobodyAttested"),
			)},
		},
	}
}

// layer is a column of the overview: its heading, its name in the rules, and where
// more is told about it.
type layer struct{ heading, name, uid string }

func layers() []layer {
	return []layer{
		{"Exporter", "monitoring", exporterUID},
		{"TPM", "tpm", nextRebootUID},
		{"Boot", "boot", nextRebootUID},
		{"Disk", "disk", nextRebootUID},
		{"Keylime", "keylime", agentsUID},
		{"SPIRE", "spire", agentsUID},
		{"Bundle", "trust-bundle", certificatesUID},
		{"Certs", "certificate", certificatesUID},
		{"Timers", "timer", certificatesUID},
	}
}

func hostsByLayer() panel {
	const selector = `host=~"${host}"`
	columns := []column{
		{heading: "Host", label: "host", width: 150},
		{heading: "Worst", expr: "max by (host) (host_layer:attestation:level{" + selector + "})", words: levels(), paint: letters, width: 76},
	}
	for _, l := range layers() {
		columns = append(columns, column{
			heading: l.heading,
			expr:    fmt.Sprintf("max by (host) (host_layer:attestation:level{layer=%q,%s})", l.name, selector),
			words:   levels(), paint: background,
			link: toHost(l.uid, "${__data.fields.Host}"),
		})
	}
	return table("Hosts by layer",
		"The worst alert about each layer of each host: CRIT wakes somebody, WARN is for today, WAIT is an alert that hasn't lasted long enough, a dash is a layer that the host hasn't, or that nobody can see while its exporter is silent. Worst counts OpenBao, too, which has no column. "+
			"Click a cell to see the layer of that host.", columns...).
		worstFirst("Worst").empty("no host is scraped").runbooks("AttestationWatchdog")
}

// ofThePack are the alerts of these rules among all that a Prometheus may have.
const ofThePack = `layer=~"monitoring|tpm|boot|disk|keylime|spire|trust-bundle|certificate|timer|service",host=~"${host}|prometheus"`

func firing(selector string) string {
	return "ALERTS{alertstate=\"firing\"," + selector + "," + ofThePack + "}"
}

// alertsTable says what fires. The watchdog is in it, so that it is only empty when
// no alert can reach anybody.
func alertsTable() panel {
	// An alert says what it is about in one or two of these.
	named := func(expr string) string {
		return `max by (alertname, severity, host, what) (label_join(label_replace(label_replace(label_replace(` + expr + `, "pcr", "PCR $1", "pcr", "(.+)"), "collector", "collector $1", "collector", "(.+)"), "verifier", "", "agent", ".+"),
"what", " ", "pcr", "kind", "name", "device", "bundle", "timer", "collector", "plugin", "agent", "verifier"))`
	}
	severity := either(
		named("ALERTS{alertstate=\"firing\",severity=\"critical\","+ofThePack+"}")+fmt.Sprintf(" * %d", levelCritical),
		named("ALERTS{alertstate=\"firing\",severity=\"warning\","+ofThePack+"}")+fmt.Sprintf(" * %d", levelWarning),
		named("ALERTS{alertstate=\"firing\",severity=\"info\","+ofThePack+"}"),
		named("ALERTS{alertstate=\"firing\",severity=\"none\","+ofThePack+"}")+" * 0",
	)
	since := named(`ALERTS{alertstate="firing",`+ofThePack+`} * ignoring (alertstate) group_left () ALERTS_FOR_STATE`) + " * 1000"
	return table("Alerts",
		"What fires, worst first; click a name to open its runbook. AttestationWatchdog always stands here: without it no alert reaches anybody.",
		column{heading: "Severity", expr: severity, width: 96, paint: letters, words: []mapping{values(
			word(levelCritical, "critical", worst), word(levelWarning, "warning", bad), word(1, "info", waiting), word(0, "watchdog", good),
		)}},
		column{heading: "Alert", label: "alertname", width: 230, link: link{Title: "Open the runbook", URL: runbookBase + "${__value.raw}.md", TargetBlank: true}},
		column{heading: "Host", label: "host", width: 150},
		column{heading: "About", label: "what"},
		column{heading: "Since", expr: since, unit: "dateTimeFromNow", width: 120},
	).worstFirst("Severity").without("severity").empty("the watchdog is silent").runbooks("AttestationWatchdog")
}

// attestationRate is how many attestations succeed each second, by a label of what
// is known about the agents, or in all.
func attestationRate(by string) string {
	rate := `max by (agent) (rate(attestation_keylime_agent_attestations_total{job=~"$job"}[$__rate_interval]))`
	if by == "" {
		return "sum(" + rate + ")"
	}
	return "sum by (" + by + ") (" + rate + " * on (agent) group_left (" + by + ") agent:attestation_keylime_agent:known)"
}
