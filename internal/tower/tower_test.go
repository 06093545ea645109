package tower

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// patience is how long a notification may take: the longest wait in the rules,
// 15 minutes, made shorter, and the whole life of a certificate.
const (
	testFaster        = 30
	testDeliverFaster = 300
	testDay           = 90 * time.Second
	patience          = 3 * time.Minute
)

func startWatched(t *testing.T) *Tower {
	t.Helper()
	shipped, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "tower")
	if err != nil {
		t.Fatal(err)
	}
	tower, err := Start(t.Context(), Options{
		Dir: dir, Exporter: filepath.Join(shipped, "attestation_exporter"), Shipped: shipped,
		Day: testDay, Faster: testFaster, DeliverFaster: testDeliverFaster, Watched: true, Log: t.Output(),
	})
	if err != nil {
		t.Fatalf("%v (`make test-e2e` builds and unpacks what it needs)", err)
	}
	t.Cleanup(func() {
		tower.Close()
		if t.Failed() {
			t.Logf("logs are in %s", dir)
			return
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return tower
}

// TestFaults puts faults into a running Tower and holds what Alertmanager delivers
// against what each fault says: those alerts, in that order, nothing else, and all
// of them resolved once the fault is mended.
func TestFaults(t *testing.T) {
	tower := startWatched(t)
	await(t, tower, "the watchdog", func(all []Notification) bool { return len(all) > 0 })
	if all, _ := tower.Received(); all[0].Alert() != "AttestationWatchdog" || len(all) != 1 {
		t.Fatalf("a healthy Tower sent %v, want the watchdog alone", names(all))
	}

	// Faults that wait for a certificate to run out go together.
	for _, together := range [][]string{
		{"pcr7"}, {"tpm-wedged"}, {"host-gone"}, {"kernel"}, {"chain"}, {"half-written"},
		{"quote"}, {"agent-gone"}, {"verifier-down"}, {"verifier-locked"}, {"renewal", "bundle-timer"},
	} {
		t.Run(strings.Join(together, "+"), func(t *testing.T) {
			before, _ := tower.Received()
			news := func(all []Notification) []Notification { return all[len(before):] }
			var want [][]string
			var hidden []string
			for _, name := range together {
				fault, err := faultNamed(name)
				if err != nil {
					t.Fatal(err)
				}
				want = append(want, fault.Alerts)
				hidden = append(hidden, fault.Hidden...)
				if err := tower.Break(t.Context(), name); err != nil {
					t.Fatal(err)
				}
			}
			broken := time.Now()
			for _, alerts := range want {
				for _, alert := range alerts {
					await(t, tower, alert, func(all []Notification) bool {
						return slices.Contains(names(firing(news(all))), alert)
					})
					t.Logf("%s arrived %.0f s after the fault", alert, time.Since(broken).Seconds())
				}
			}
			for _, alert := range hidden {
				awaitInhibited(t, tower, alert)
				t.Logf("%s was kept back %.0f s after the fault", alert, time.Since(broken).Seconds())
			}
			if err := tower.Mend(t.Context(), Everything); err != nil {
				t.Fatal(err)
			}
			mended := time.Now()
			await(t, tower, "the end of all alerts", func(all []Notification) bool { return len(open(news(all))) == 0 })
			awaitQuiet(t, tower)
			t.Logf("all resolved %.0f s after mending", time.Since(mended).Seconds())

			all, _ := tower.Received()
			for _, n := range news(all) {
				t.Log(n.Line())
				for _, label := range []string{"host", "severity", "layer"} {
					if n.Labels[label] == "" {
						t.Errorf("%s has no label %s", n.Alert(), label)
					}
				}
				for _, annotation := range []string{"summary", "description", "runbook_url"} {
					if text := n.Annotations[annotation]; text == "" || strings.Contains(text, "<error expanding") || strings.Contains(text, "no value") {
						t.Errorf("%s has the annotation %s %q", n.Alert(), annotation, text)
					}
				}
				if got, want := n.Labels["host"], "spire.funlab.casa"; got != want {
					t.Errorf("%s: got host %q, want %q", n.Alert(), got, want)
				}
			}
			got := names(firing(news(all)))
			if sorted, wanted := slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(slices.Concat(want...))); !slices.Equal(sorted, wanted) {
				t.Errorf("notifications: got %v, want %v", got, want)
			}
			for _, alerts := range want {
				inOrder := slices.DeleteFunc(slices.Clone(got), func(name string) bool { return !slices.Contains(alerts, name) })
				if !slices.Equal(inOrder, alerts) {
					t.Errorf("order: got %v, want %v", inOrder, alerts)
				}
			}
		})
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
			var lines []string
			for _, n := range all {
				lines = append(lines, n.Line())
			}
			t.Fatalf("no sign of %s within %v; so far:\n%s", what, patience, strings.Join(lines, "\n"))
		}
	}
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

// open are the pages that were not taken back. A warning is left out: one that ends
// while a worse alert still inhibits it is dropped by Alertmanager without a word.
func open(all []Notification) []string {
	state := map[string]string{}
	for _, n := range all {
		if n.Labels["severity"] == "critical" {
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
