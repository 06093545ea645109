package engine_test

import (
	"testing"
	"time"

	"funlab.casa/attestation_exporter/rules/engine/replay"
)

// TestQuietTime lets a healthy fleet live, with all that belongs to its life:
// nobody is paged, and nobody is warned but by a kernel update.
func TestQuietTime(t *testing.T) {
	t.Parallel()
	s := simulate(t, seed)
	s.missed = 0.01
	started := time.Now()
	for end := begin().AddDate(0, 0, *days); s.now.Before(end); {
		month := s.now.Month()
		s.minute(t)
		if s.now.Month() != month { // A year takes hours.
			t.Logf("until %s: %d evaluations in %s: %v", s.now.Format(time.DateOnly), s.evaluations, time.Since(started).Round(time.Second), counted(s.pack.Alerts()))
		}
		if s.now.Day() == 26 && s.now.Hour() == 13 && s.now.Minute() == 0 {
			s.outage(t, 20*time.Minute)
		}
	}
	for _, alert := range s.pack.Alerts() {
		if !expectedInQuiet(alert) {
			t.Errorf("got %s at %s until %s, want silence: %s", alert.Labels, alert.Fired.Format(time.DateTime), alert.Resolved.Format(time.DateTime), alert.Summary)
		}
	}
	t.Logf("%d days, %d evaluations in %s: %v", *days, s.evaluations, time.Since(started).Round(time.Second), counted(s.pack.Alerts()))
}

// counted is how often each alert fired.
func counted(alerts []*replay.Alert) map[string]int {
	count := map[string]int{}
	for _, alert := range alerts {
		count[alert.Name]++
	}
	return count
}

// expectedInQuiet are the dead man's switch, what a kernel update says of itself,
// until the disk is bound to it and a new baseline taken, and what is for
// information.
func expectedInQuiet(alert *replay.Alert) bool {
	switch alert.Name {
	case "AttestationWatchdog", "DiskUnlockAtRisk", "DiskUnlockWillFail":
		return true
	case "TPMPCRMismatch":
		return alert.Labels.Get("pcr") == "4"
	}
	return alert.Labels.Get("severity") == "info"
}
