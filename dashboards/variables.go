package dashboards

import "strings"

// The data source is a variable, so that a dashboard can be imported anywhere.
const datasourceVariable = "${datasource}"

func prometheus() *datasource { return &datasource{Type: "prometheus", UID: datasourceVariable} }

// anything is what a variable stands for in a matcher when all its values are
// chosen. It also fits a series that hasn't the label.
const anything = ".*"

// onHost selects series by the host variable. Hosts are named without a port, as
// alerts name them, and instance has one; that of an IPv6 address has brackets, too.
const onHost = `job=~"$job",instance=~"\\[?${host}\\]?(:[0-9]+)?"`

// ofHost selects recorded series, which tell jobs no longer apart.
const ofHost = `instance=~"\\[?${host}\\]?(:[0-9]+)?"`

// withoutPort is onHost's reverse: the host of an instance.
const withoutPort = `^\[?(.+?)\]?(?::\d+)?$`

func datasourceChoice() variable {
	return variable{Name: "datasource", Label: "Data source", Type: "datasource", Query: "prometheus"}
}

func jobChoice() variable {
	return choice("job", "Job", "label_values(attestation_scrape_collector_success, job)")
}

func hostChoice() variable {
	v := choice("host", "Host", `label_values(attestation:target:up{job=~"$job"}, instance)`)
	v.Regex = "/" + withoutPort + "/"
	return v
}

func bundleChoice() variable {
	return choice("bundle", "Bundle", `label_values(attestation_trust_bundle_authorities{`+onHost+`}, bundle)`)
}

func agentChoice() variable {
	return choice("agent", "Keylime agent", "label_values(agent:attestation_keylime_agent:known, agent)")
}

// choice is a variable of which any number of values can be chosen, or all.
func choice(name, label, query string) variable {
	const onTimeRangeChange, alphabetical = 2, 1
	return variable{
		Name: name, Label: label, Type: "query", Datasource: prometheus(),
		Query: variableQuery{Query: query, RefID: name},
		Multi: true, IncludeAll: true, AllValue: anything, Refresh: onTimeRangeChange, Sort: alphabetical,
		Current: map[string]any{"text": []string{"All"}, "value": []string{"$__all"}},
	}
}

// everything replaces the variables of an expression, and the intervals by some that
// hold two scrapes.
func everything(expr string) string {
	return strings.NewReplacer(
		"$job", anything, "${host}", anything, "$bundle", anything, "$agent", anything,
		"$__rate_interval", "1m", "$__range", "1h",
	).Replace(expr)
}
