package dashboards

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"

	"funlab.casa/attestation_exporter/internal/fleet"
)

// TestEveryPanelShowsSomething asks the shipped rules' Prometheus every query, with a
// healthy fleet and with each of its faults, and wants the overview to tell the fault.
func TestEveryPanelShowsSomething(t *testing.T) {
	watched, err := fleet.Watch(t.Context(), fleet.Fleet{}, fleet.Options{
		Dir: t.TempDir(), Rules: "../rules", Faster: 900, Interval: time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(watched.Close)
	awaitRows(t, watched.URL, "a second attestation", "sum(rate(attestation_keylime_agent_attestations_total[1m])) > 0")
	awaitRows(t, watched.URL, "a level for each host", "count(count by (host) (host_layer:attestation:level)) == 3")

	for q, rows := range panelRows(t, watched.URL) {
		if rows == 0 {
			t.Errorf("healthy: %s: %s shows nothing", q.Dashboard, q.Panel)
		}
	}
	faults := map[string]bool{}
	for _, tt := range []struct{ name, layer, host string }{
		{"agent-gone", "keylime", "auth.funlab.casa"},
		{"bundle-timer", "timer", "auth.funlab.casa"},
		{"chain", "certificate", "ca.funlab.casa"},
		{"half-written", "certificate", "spire.funlab.casa"},
		{"host-gone", "monitoring", "ca.funlab.casa"},
		{"join-token", "spire", "funlab.casa"},
		{"kernel", "disk", "spire.funlab.casa"},
		{"plugin", "spire", "spire.funlab.casa"},
		{"quote", "keylime", "auth.funlab.casa"},
		{"renewal", "timer", "ca.funlab.casa"},
		{"spire-server", "spire", "spire.funlab.casa"},
		{"tpm-wedged", "tpm", "auth.funlab.casa"},
		{"verifier-down", "keylime", "spire.funlab.casa"},
		{"verifier-locked", "keylime", "spire.funlab.casa"},
		// The last one, since only a reboot ends it.
		{"pcr7", "tpm", "spire.funlab.casa"},
	} {
		faults[tt.name] = true
		t.Run(tt.name, func(t *testing.T) {
			level := fmt.Sprintf("host_layer:attestation:level{layer=%q,host=%q}", tt.layer, tt.host)
			awaitRows(t, watched.URL, "the end of the fault before", fmt.Sprintf("%s < %d or absent(%s)", level, levelWarning, level))
			watched.Break(tt.name)
			awaitRows(t, watched.URL, "the fault on the overview", fmt.Sprintf("%s >= %d", level, levelWarning))
			for q, rows := range panelRows(t, watched.URL) {
				if rows == 0 && q.Empty == "" {
					t.Errorf("%s: %s shows nothing", q.Dashboard, q.Panel)
				}
			}
			watched.Break()
		})
	}
	for fault := range fleet.Faults() {
		if !faults[fault] {
			t.Errorf("the fleet's fault %s isn't tried here", fault)
		}
	}
}

// panelRows is how many series the queries of each panel give together.
func panelRows(t *testing.T, prometheus string) map[Query]int {
	t.Helper()
	rows := map[Query]int{}
	for _, q := range Queries() {
		got := len(query(t.Context(), t, prometheus, q.Expr))
		t.Logf("%4d %s: %s %s", got, q.Dashboard, q.Panel, q.RefID)
		rows[Query{Dashboard: q.Dashboard, Panel: q.Panel, Empty: q.Empty}] += got
	}
	return rows
}

// awaitRows waits until an expression gives something.
func awaitRows(t *testing.T, prometheus, what, expr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for len(query(ctx, t, prometheus, expr)) == 0 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("no sign of %s: %s gives nothing", what, expr)
		}
	}
}

func query(ctx context.Context, t *testing.T, prometheus, expr string) []json.RawMessage {
	t.Helper()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, prometheus+"/api/v1/query?query="+url.QueryEscape(expr), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	var got struct {
		Error string `json:"error"`
		Data  struct {
			Result []json.RawMessage `json:"result"`
		} `json:"data"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&got); err != nil {
		t.Fatal(err)
	}
	if got.Error != "" {
		t.Fatalf("%s: %s", expr, got.Error)
	}
	return got.Data.Result
}
