// Package dashboards is the source of the Grafana dashboards beside it: each file
// named for a dashboard says what is on it, the others say how that is written in
// Grafana's JSON. `make dashboards` writes the JSON anew.
//
// It knows neither the exporter nor Grafana; its tests hold it to the names that the
// exporter and the rules export, and to the runbooks that it links to.
package dashboards

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// A Dashboard is one of those in this folder.
type Dashboard struct {
	uid, title, description string
	from                    string
	variables               []variable
	rows                    []row
}

// All returns the dashboards, in the order in which a person on call opens them.
func All() []Dashboard {
	return []Dashboard{overview(), certificates(), agents(), nextReboot(), exporter()}
}

// File is the name of the dashboard's file.
func (d Dashboard) File() string { return strings.TrimPrefix(d.uid, "attestation-") + ".json" }

// JSON is the dashboard as Grafana imports it.
func (d Dashboard) JSON() ([]byte, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(d.model()); err != nil {
		return nil, fmt.Errorf("write %s: %w", d.title, err)
	}
	return text.Bytes(), nil
}

func (d Dashboard) model() model {
	return model{
		UID: d.uid, Title: d.title, Description: d.description, Tags: []string{tag},
		Editable: true, GraphTooltip: sharedCrosshair, Timezone: "browser",
		SchemaVersion: schemaVersion, Version: 1, Refresh: "30s",
		Time:        timeRange{From: d.from, To: "now"},
		Links:       navigation(),
		Annotations: list[any]{List: []any{}},
		Templating:  list[variable]{List: d.variables},
		Panels:      arranged(d.rows),
	}
}

// A Query is what one target of a panel asks Prometheus.
type Query struct {
	Dashboard, Panel, RefID string
	// Expr is the expression with every variable replaced as Grafana does it when
	// all values are chosen.
	Expr string
	// Empty is what the panel says where none of its queries gives anything. Without
	// it, that is a fault of the panel.
	Empty string
}

// Queries returns every query of every dashboard, with all hosts, jobs and the rest
// chosen.
func Queries() []Query {
	var queries []Query
	for _, d := range All() {
		for _, p := range d.model().Panels {
			for _, t := range p.Targets {
				queries = append(queries, Query{
					Dashboard: d.uid, Panel: p.Title, RefID: t.RefID,
					Expr: everything(t.Expr), Empty: p.FieldConfig.Defaults.NoValue,
				})
			}
		}
	}
	return queries
}

// tag finds all dashboards of this package in Grafana.
const tag = "attestation"

const sharedCrosshair = 1

// navigation leads from each dashboard to all others, with what is chosen on it.
func navigation() []dashboardLink {
	return []dashboardLink{{
		Title: "Attestation", Type: "dashboards", Icon: "external link", Tags: []string{tag},
		IncludeVars: true, KeepTime: true,
	}}
}
