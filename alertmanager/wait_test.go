package alertmanager_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"
)

// mayWait says why some inhibitors may wait longer than what they hide: their targets
// come later all the same.
func mayWait() map[string]string {
	return map[string]string{
		"AttestationExporterDown": "nothing new is known of a host that doesn't answer",
		"TimerNotRunning":         "a timer that doesn't run has no next trigger to be late for",
		"SPIREServerDown":         "SPIREAgentNotSyncing waits by its threshold, 5 minutes",
		"SPIREAgentDown":          "so it does here, and SVIDs of an agent that has just ended have half of their life left",
	}
}

// TestInhibitorsComeFirst compares the waits of the rules: what is hidden must not
// slip out before what hides it fires.
func TestInhibitorsComeFirst(t *testing.T) {
	alerts := shippedAlerts(t)
	excused := map[string]bool{}
	for _, rule := range inhibitRules(t) {
		for _, source := range alerts {
			if !reaches(t, rule.SourceMatchers, source.labels()) {
				continue
			}
			for _, target := range alerts {
				if target.Alert == source.Alert || !reaches(t, rule.TargetMatchers, target.labels()) || source.For <= target.For {
					continue
				}
				if mayWait()[source.Alert] == "" {
					t.Errorf("%s waits %v, longer than %s, which it hides: %v", source.Alert, source.For, target.Alert, target.For)
				}
				excused[source.Alert] = true
			}
		}
	}
	for source := range mayWait() {
		if !excused[source] {
			t.Errorf("%s is excused, and needs no excuse", source)
		}
	}
}

type shippedAlert struct {
	Alert  string
	For    model.Duration
	Labels map[string]string
}

func (a shippedAlert) labels() map[string]string {
	return map[string]string{"alertname": a.Alert, "layer": a.Labels["layer"]}
}

func shippedAlerts(t *testing.T) []shippedAlert {
	t.Helper()
	files, err := filepath.Glob("../rules/*.rules.yml")
	if err != nil || len(files) == 0 {
		t.Fatalf("got %d rule files (%v), want some", len(files), err)
	}
	var alerts []shippedAlert
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var rules struct {
			Groups []struct{ Rules []shippedAlert }
		}
		if err := yaml.Unmarshal(content, &rules); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, group := range rules.Groups {
			for _, rule := range group.Rules {
				if rule.Alert != "" {
					alerts = append(alerts, rule)
				}
			}
		}
	}
	return alerts
}
