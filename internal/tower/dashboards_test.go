package tower

import (
	"encoding/json"
	"net/url"
	"testing"

	"funlab.casa/attestation_exporter/dashboards"
)

// checkDashboards asks every query of the dashboards. Each must be answered, and each
// panel must have something to show, or words for having nothing. The Tower has one
// host: while that is gone, only the overview of hosts has to show something.
func checkDashboards(t *testing.T, tower *Tower, gone bool) {
	t.Helper()
	rows := map[dashboards.Query]int{}
	for _, q := range dashboards.Queries() {
		var answer struct {
			Error string `json:"error"`
			Data  struct {
				Result []json.RawMessage `json:"result"`
			} `json:"data"`
		}
		getJSON(t.Context(), t, tower.PrometheusURL+"/api/v1/query?query="+url.QueryEscape(q.Expr), &answer)
		if answer.Error != "" {
			t.Errorf("%s: %s %s: %s", q.Dashboard, q.Panel, q.RefID, answer.Error)
		}
		t.Logf("%4d %s: %s %s", len(answer.Data.Result), q.Dashboard, q.Panel, q.RefID)
		rows[dashboards.Query{Dashboard: q.Dashboard, Panel: q.Panel, Empty: q.Empty}] += len(answer.Data.Result)
	}
	for panel, n := range rows {
		if n == 0 && panel.Empty == "" && (!gone || panel.Panel == "Hosts by layer") {
			t.Errorf("%s: %s shows nothing", panel.Dashboard, panel.Panel)
		}
	}
}
