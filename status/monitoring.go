package status

import "strings"

// noAnswer is the row of an exporter that could not be read. One that is there but
// not for us says nothing about its host.
func (v view) noAnswer() Row {
	if v.answer.Silent {
		return v.wrong(exporterDown, Monitoring, "exporter", "doesn't answer: %v", v.answer.Err)
	}
	row := v.fine(Monitoring, "exporter", "can't be read: %v", v.answer.Err)
	row.State = Unknown
	return row
}

// monitoring looks at the collectors. Those whose failure the rules have a better
// name for are looked at with their layer.
func (v view) monitoring() []Row {
	collectors := v.samples["attestation_scrape_collector_success"]
	if len(collectors) == 0 {
		row := v.fine(Monitoring, "exporter", "watches nothing: no collector has found what it is for")
		row.State = Unknown
		return []Row{row}
	}
	var rows []Row
	for _, one := range collectors {
		collector := one.label("collector")
		switch {
		case one.value != 0 || v.betterSaid(collector):
		case collector == "reader":
			rows = append(rows, v.wrong(readerDown, Monitoring, "reader", "doesn't answer%s", v.reason(collector)))
		default:
			rows = append(rows, v.wrong(collectorFailing, Monitoring, "collector "+collector, "can't read its source%s", v.reason(collector)))
		}
	}
	if len(rows) > 0 {
		return rows
	}
	version := ""
	for _, info := range v.samples["attestation_exporter_build_info"] {
		version = ", version " + info.label("version")
	}
	return []Row{v.fine(Monitoring, "exporter", "%s read%s", counted(float64(len(collectors)), "collector", "collectors"), version)}
}

// betterSaid reports whether another row tells of the collector's failure.
func (v view) betterSaid(collector string) bool {
	switch collector {
	case "tpm":
		return true
	case "spire-agent":
		return !v.samples.is(1, "attestation_spire_agent_up")
	case "spire-server":
		return !v.samples.is(1, "attestation_spire_server_up")
	case "keylime-verifier":
		return v.samples.is(0, "attestation_keylime_verifier_up")
	case "keylime-registrar":
		return v.samples.is(0, "attestation_keylime_registrar_up")
	case "keylime-agent":
		return v.samples.is(0, "attestation_keylime_local_agent_up")
	}
	return false
}

// failed reports whether the collector is there and could not read its source.
func (v view) failed(collector string) bool {
	return v.samples.is(0, "attestation_scrape_collector_success", "collector", collector)
}

// reason names why a collector fails, where only one reason was ever counted: the
// counters don't tell which was last.
func (v view) reason(collector string) string {
	var reasons []string
	for _, one := range v.samples.only("attestation_scrape_failures_total", "collector", collector) {
		if one.value > 0 {
			reasons = append(reasons, one.label("reason"))
		}
	}
	if len(reasons) == 0 {
		return ""
	}
	return " (" + strings.Join(reasons, " or ") + ")"
}
