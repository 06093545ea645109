package dashboards

const exporterUID = "attestation-exporter"

// exporter answers: can what the other dashboards say be believed, and what does it
// cost?
func exporter() Dashboard {
	return Dashboard{
		uid: exporterUID, title: "Attestation / Exporter", from: "now-6h",
		description: "The exporters themselves: who answers, which collector fails and why, and what a scrape costs.",
		variables:   []variable{datasourceChoice(), jobChoice(), hostChoice()},
		rows: []row{
			{height: 4, cells: evenly(
				count("Silent", "Exporters that don't answer. Nothing is known of these hosts.",
					"attestation:target:up{"+onHost+"} == 0", worst).runbooks("AttestationExporterDown"),
				count("Dropped", "Instances that were scraped within the last day and aren't targets any more. If one was removed on purpose, it is forgotten a day later.",
					"instance:attestation_target:last_seen{"+ofHost+"} unless on (instance) attestation:target:up", bad).runbooks("AttestationTargetMissing"),
				count("Failing", "Collectors that can't read their source. Alerts about what they read can't fire; the reason stands below.",
					"attestation_scrape_collector_success{"+onHost+"} == 0", bad).runbooks("AttestationCollectorFailing"),
				stat("Failures", "Failed readings within the dashboard's time range, of all collectors. A few are bad luck; look below whether they are of one kind.",
					"sum(increase(attestation_scrape_failures_total{"+onHost+"}[$__range])) or vector(0)").unit("none", 0).scale(good, from(1, bad)).runbooks("AttestationCollectorFailing"),
				stat("Slowest", "The longest of the last scrapes. Near the scrape timeout the slowest collector is cut off: see which one it is below.",
					"max(scrape_duration_seconds{"+onHost+"} and on (job, instance) attestation:target:up)").unit("s", 1).scale(plain).empty("no target").explained("What a scrape costs", "performance.md"),
				stat("Series", "Series of all exporters together, as Prometheus counted them at the last scrapes.",
					"sum(scrape_samples_scraped{"+onHost+"} and on (job, instance) attestation:target:up)").unit("short", 0).scale(plain).empty("no target").explained("What a scrape costs", "performance.md"),
			)},
			{height: 8, cells: evenly(collectorsTable())},
			{height: 9, cells: evenly(
				overTime("Time of each collector", "The slowest host of each collector. A TPM takes tens of milliseconds, everything else a few; a line near the scrape timeout is about to fail.",
					line{expr: "max by (collector) (attestation_scrape_collector_duration_seconds{" + onHost + "})", legend: "{{collector}}"},
				).unit("s").logarithmic().beside().empty("no collector").runbooks("AttestationCollectorFailing"),
				overTime("Failures by reason", "Failed readings per minute. permission: give the right or turn the collector off; tls and auth: look at certificates; timeout and unreachable: at the thing itself; malformed and internal: report it.",
					line{expr: "sum by (collector, reason) (rate(attestation_scrape_failures_total{" + onHost + "}[$__rate_interval])) * 60 > 0", legend: "{{collector}}: {{reason}}"},
					line{expr: "sum(rate(attestation_scrape_failures_total{" + onHost + "}[$__rate_interval])) * 60 or vector(0)", legend: "all"},
				).unit("suffix: /min").beside().paints("all", plain).runbooks("AttestationCollectorFailing"),
			)},
			{height: 8, cells: evenly(
				overTime("Scrape duration", "What Prometheus waits for each host.",
					line{expr: "max by (instance) (scrape_duration_seconds{" + onHost + "} and on (job, instance) attestation:target:up)", legend: "{{instance}}"},
				).unit("s").empty("no target").explained("What a scrape costs", "performance.md"),
				overTime("Series of a scrape", "A step is a collector that came or went, a slope something that is never cleaned up. Up to 250 on a host with agents, 450 with the servers is normal.",
					line{expr: "max by (instance) (scrape_samples_scraped{" + onHost + "} and on (job, instance) attestation:target:up)", legend: "{{instance}}"},
				).unit("short", 0).empty("no target").explained("What a scrape costs", "performance.md"),
			)},
			{height: 8, cells: evenly(
				overTime("Memory", "Resident memory of each exporter. 25 MB is normal; a line that only rises is a leak: report it with the version.",
					line{expr: "max by (instance) (process_resident_memory_bytes{" + onHost + "} and on (job, instance) attestation:target:up)", legend: "{{instance}}"},
				).unit("decbytes").empty("no target").explained("What a scrape costs", "performance.md"),
				overTime("CPU", "Share of one core that each exporter takes.",
					line{expr: "max by (instance) (rate(process_cpu_seconds_total{" + onHost + "}[$__rate_interval]) and on (job, instance) attestation:target:up)", legend: "{{instance}}"},
				).unit("percentunit").empty("no target").explained("What a scrape costs", "performance.md"),
			)},
			{height: 6, cells: evenly(exportersTable())},
		},
	}
}

func collectorsTable() panel {
	by := "(instance, collector)"
	return table("Collectors", "What each collector said at the last scrape, failing ones first. A collector that isn't in the list has nothing to read on that host, or the host is silent.",
		hostColumn(overviewUID),
		column{heading: "Collector", label: "collector"},
		column{heading: "State", expr: "min by " + by + " (attestation_scrape_collector_success{" + onHost + "})", words: claim("OK", good, "FAILS", bad), paint: background, width: 90},
		column{heading: "Took", expr: "max by " + by + " (attestation_scrape_collector_duration_seconds{" + onHost + "})", unit: "s", decimals: new(1), width: 100},
		column{heading: "Failures", expr: "sum by " + by + " (increase(attestation_scrape_failures_total{" + onHost + "}[$__range]))", unit: "none", decimals: new(0), width: 100},
	).leastFirst("State").empty("no host is scraped").runbooks("AttestationCollectorFailing")
}

func exportersTable() panel {
	of := func(metric string) string {
		return "max by (instance) (" + metric + "{" + onHost + "} and on (job, instance) attestation:target:up)"
	}
	return table("Exporters", "One version everywhere makes questions easier. A start that nobody asked for has a reason in the journal of the service.",
		hostColumn(overviewUID),
		column{heading: "Answers", expr: "max by (instance) (attestation:target:up{" + onHost + "})", words: claim("YES", good, "NO", worst), paint: background, width: 90},
		column{heading: "Version", label: "version"},
		column{heading: "Built by", label: "goversion"},
		column{heading: "Series", width: 80, words: []mapping{nothing()}, expr: "max by (instance, version, goversion) (scrape_samples_scraped{" + onHost + "} * on (job, instance) group_left (version, goversion) attestation_exporter_build_info)"},
		column{heading: "Started", expr: of("process_start_time_seconds") + " * 1000", unit: "dateTimeFromNow", width: 130, words: []mapping{nothing()}},
		column{heading: "Memory", expr: of("process_resident_memory_bytes"), unit: "decbytes", decimals: new(1), width: 100, words: []mapping{nothing()}},
		column{heading: "Files", expr: of("process_open_fds"), width: 70, words: []mapping{nothing()}},
		column{heading: "Goroutines", expr: of("go_goroutines"), width: 96, words: []mapping{nothing()}},
	).leastFirst("Answers").empty("no host is scraped").runbooks("AttestationExporterDown")
}
