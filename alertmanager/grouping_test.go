package alertmanager_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"
)

// TestGrouping asks a real Alertmanager which alerts it puts into one page: hosts that
// fall together are one, agents that are refused and trust domains without a server
// are one each.
func TestGrouping(t *testing.T) {
	am := startAlertmanager(t, newMailbox(t).url)
	alert := func(name, label, value string) postedAlert {
		return postedAlert{
			Labels:   map[string]string{"alertname": name, "severity": "critical", "layer": "any", "host": value, label: value},
			StartsAt: time.Now(), EndsAt: time.Now().Add(time.Hour),
		}
	}
	am.post(t, []postedAlert{
		alert("AttestationExporterDown", "instance", "a"), alert("AttestationExporterDown", "instance", "b"),
		alert("CertificateExpired", "name", "c"), alert("CertificateExpired", "name", "d"),
		alert("KeylimeIntegrityFailure", "agent", "e"), alert("SPIRETrustsFailedAgent", "agent", "e"),
		alert("KeylimeIntegrityFailure", "agent", "f"), alert("KeylimeAgentClaimedTwice", "agent", "f"),
		alert("SPIREServerDown", "trust_domain", "g.example"), alert("SPIREServerDown", "trust_domain", "h.example"),
	})
	want := []string{
		"map[agent:e]: 2", "map[agent:f]: 2",
		"map[alertname:AttestationExporterDown]: 2", "map[alertname:CertificateExpired]: 2",
		"map[alertname:SPIREServerDown trust_domain:g.example]: 1", "map[alertname:SPIREServerDown trust_domain:h.example]: 1",
	}
	var got []string
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !slices.Equal(got, want) {
		select {
		case <-tick.C:
			got = am.groups(t)
		case <-deadline:
			t.Fatalf("got the groups\n%q\nwant\n%q", got, want)
		}
	}
}

// groups returns the labels of each group, and how many alerts are in it.
func (a alertmanager) groups(t *testing.T) []string {
	t.Helper()
	content, err := a.do(t.Context(), http.MethodGet, "/api/v2/alerts/groups", nil)
	if err != nil {
		t.Fatal(err)
	}
	var groups []struct {
		Labels map[string]string `json:"labels"`
		Alerts []json.RawMessage `json:"alerts"`
	}
	if err := json.Unmarshal(content, &groups); err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, group := range groups {
		found = append(found, fmt.Sprintf("%v: %d", group.Labels, len(group.Alerts)))
	}
	slices.Sort(found)
	return found
}
