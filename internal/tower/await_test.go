package tower

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// awaitHealth waits until a Tower that nobody has broken sends the watchdog, and
// nothing else.
func awaitHealth(t *testing.T, tower *Tower) {
	t.Helper()
	await(t, tower, "the watchdog", func(all []Notification) bool { return len(all) > 0 })
	awaitQuiet(t, tower)
	if all, _ := tower.Received(); all[0].Alert() != "AttestationWatchdog" || len(all) != 1 {
		t.Fatalf("a healthy Tower sent\n%s\nwant the watchdog alone", lines(all))
	}
}

// await waits until the notifications satisfy enough.
func await(t *testing.T, tower *Tower, what string, enough func([]Notification) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		all, more := tower.Received()
		if enough(all) {
			return
		}
		select {
		case <-more:
		case <-ctx.Done():
			t.Fatalf("no sign of %s within %v; so far:\n%s", what, patience, lines(all))
		}
	}
}

func lines(all []Notification) string {
	var text []string
	for _, n := range all {
		text = append(text, n.Line())
	}
	return strings.Join(text, "\n")
}

// awaitQuiet waits until nothing but the watchdog is pending or fires in
// Prometheus.
func awaitQuiet(t *testing.T, tower *Tower) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		alerts := prometheusAlerts(ctx, t, tower)
		if slices.Equal(alerts, []string{"AttestationWatchdog"}) {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("still in Prometheus %v after mending: %v", patience, alerts)
		}
	}
}

// prometheusAlerts returns the names of what is pending or fires.
func prometheusAlerts(ctx context.Context, t *testing.T, tower *Tower) []string {
	t.Helper()
	var got struct {
		Data struct {
			Alerts []struct {
				Labels map[string]string `json:"labels"`
			} `json:"alerts"`
		} `json:"data"`
	}
	getJSON(ctx, t, tower.PrometheusURL+"/api/v1/alerts", &got)
	var names []string
	for _, alert := range got.Data.Alerts {
		names = append(names, alert.Labels["alertname"])
	}
	return names
}

// awaitInhibited waits until Alertmanager has an alert that it keeps back.
func awaitInhibited(t *testing.T, tower *Tower, alert string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	query := url.Values{"active": {"false"}, "inhibited": {"true"}, "filter": {"alertname=" + alert}}
	for {
		var kept []json.RawMessage
		if getJSON(ctx, t, tower.AlertmanagerURL+"/api/v2/alerts?"+query.Encode(), &kept); len(kept) > 0 {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("no %s was kept back within %v", alert, patience)
		}
	}
}

func getJSON(ctx context.Context, t *testing.T, address string, into any) {
	t.Helper()
	if err := fetch(ctx, address, into); err != nil {
		t.Fatal(err)
	}
}

func firing(all []Notification) []Notification {
	return slices.DeleteFunc(slices.Clone(all), func(n Notification) bool { return n.Status != "firing" })
}

// names are the alerts' names in the order of their first appearance.
func names(all []Notification) []string {
	var seen []string
	for _, n := range all {
		if !slices.Contains(seen, n.Alert()) {
			seen = append(seen, n.Alert())
		}
	}
	return seen
}

// open are the pages that were not taken back. One that ends while a worse alert still
// inhibits it is dropped by Alertmanager without a word: any warning may be, and those
// pages that a later one replaces, with which they end.
func open(all []Notification) []string {
	replaced := map[string]string{
		"CertificateExpiryCritical": "CertificateExpired",
		"TrustBundleExpiryCritical": "TrustBundleUnreadable",
	}
	arrived := names(firing(all))
	state := map[string]string{}
	for _, n := range all {
		if n.Labels["severity"] == "critical" && !slices.Contains(arrived, replaced[n.Alert()]) {
			state[fmt.Sprint(n.Labels)] = n.Status
		}
	}
	var still []string
	for key, status := range state {
		if status == "firing" {
			still = append(still, key)
		}
	}
	return still
}
