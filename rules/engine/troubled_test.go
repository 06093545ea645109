package engine_test

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"testing"
	"time"

	"funlab.casa/attestation_exporter/rules/engine/fleet"
	"funlab.casa/attestation_exporter/rules/engine/replay"
)

const (
	// What a scrape and an evaluation a minute, and one scrape that is missed, add
	// to an alert's own wait.
	seen = 3 * interval
	// Alertmanager's group_wait and group_interval for what pages.
	groupWait, groupInterval = 30 * time.Second, time.Minute
)

// TestTroubledTime puts faults into the fleet, one after the other at random
// times. Each is told of by its own alerts, in time, once, and by nothing else.
func TestTroubledTime(t *testing.T) {
	t.Parallel()
	inhibitions := loadInhibitions(t)
	s := simulate(t, seed+1)
	s.missed = 0.01
	// What was here must have been seen to be missed.
	s.run(t, time.Hour)
	d := detection{waits: s.pack.Waits(), after: map[symptom][]time.Duration{}}
	started, put := time.Now(), 0
	chosen := chosenFaults(t)
	for round := range *rounds {
		for _, i := range s.random.Perm(len(chosen)) {
			f := chosen[i]
			if (f.stays || f.lasts > 3*time.Hour) && round%3 != 0 {
				continue
			}
			s.run(t, time.Duration(s.random.IntN(60))*time.Minute)
			put++
			for alert, latency := range s.suffer(t, f, inhibitions) {
				d.after[symptom{f.name, alert}] = append(d.after[symptom{f.name, alert}], latency)
			}
		}
	}
	t.Logf("%d faults in %d evaluations, %s", put, s.evaluations, time.Since(started).Round(time.Second))
	d.hold(t)
}

// chosenFaults are those whose names -fault matches, but for those that need a
// second server.
func chosenFaults(t *testing.T) []fault {
	t.Helper()
	name, err := regexp.Compile(*only)
	if err != nil {
		t.Fatalf("-fault: %v", err)
	}
	chosen := slices.DeleteFunc(faults(), func(f fault) bool { return f.standby || !name.MatchString(f.name) })
	if len(chosen) == 0 {
		t.Fatalf("-fault: got %q, want the name of a fault", *only)
	}
	return chosen
}

func loadInhibitions(t *testing.T) replay.Inhibitions {
	t.Helper()
	inhibitions, err := replay.LoadInhibitions("../../alertmanager/alertmanager.yml")
	if err != nil {
		t.Fatal(err)
	}
	return inhibitions
}

// A told is an alert that somebody hears of, and whose it is.
type told struct{ alert, host string }

// suffer puts one fault in and out, and returns after how long each of its alerts
// came.
func (s *simulation) suffer(t *testing.T, f fault, inhibitions replay.Inhibitions) map[string]time.Duration {
	t.Helper()
	host := s.someHost(f)
	for f.ready != nil && !f.ready(s, host) {
		s.run(t, 10*time.Minute)
	}
	s.fleet.Unplanned(s.now.Add(f.lasts + f.settles + time.Hour))
	before := len(s.pack.Alerts())
	// Not on the minute: a fault doesn't wait for the scrape.
	s.begun = s.now.Add(time.Duration(s.random.IntN(60)) * time.Second)
	s.pending = func() { f.breaks(s, host) }
	since := s.endure(t, f, host)
	f.mends(s, host)
	s.run(t, f.settles)

	fired := s.pack.Alerts()[before:]
	where := fmt.Sprintf("%s on %s at %s", f.name, host.Name, s.begun.Format(time.DateTime))
	got, want := map[told]int{}, map[told]int{}
	latency := map[told]time.Duration{}
	for _, alert := range inhibitions.Notified(fired, groupWait, groupInterval, s.now) {
		if expectedInQuiet(alert) && !f.expects(alert.Name) && !slices.Contains(f.hidden, alert.Name) {
			continue
		}
		key := told{alert.Name, alert.Labels.Get("host")}
		got[key]++
		if alert.Resolved.IsZero() && !f.stays {
			t.Errorf("%s: %s is not over %s after it was mended", where, alert.Labels, f.settles)
		}
		if _, ok := latency[key]; !ok {
			latency[key] = alert.Fired.Sub(since[key])
		}
	}
	waits, slowest := s.pack.Waits(), map[string]time.Duration{}
	for _, p := range f.pages {
		key := told{p.alert, p.whose(host)}
		want[key]++
		l, ok := latency[key]
		if !ok {
			continue
		}
		slowest[p.alert] = max(slowest[p.alert], l)
		if within := waits[p.alert] + seen; l < 0 || l > within {
			t.Errorf("%s: got %s after %s, want it within %s", where, key, l, within)
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("%s:\n got %v\nwant %v", where, got, want)
	}
	for _, name := range f.hidden {
		if !slices.ContainsFunc(fired, func(a *replay.Alert) bool { return a.Name == name }) {
			t.Errorf("%s: got no %s, want it to fire and be hidden", where, name)
		}
	}
	return slowest
}

// endure lets the time of a fault go by, and returns when each of its symptoms
// began.
func (s *simulation) endure(t *testing.T, f fault, host *fleet.Host) map[told]time.Time {
	t.Helper()
	since := map[told]time.Time{}
	for end := s.now.Add(f.lasts); s.now.Before(end); {
		s.minute(t)
		for _, p := range f.pages {
			key := told{p.alert, p.whose(host)}
			if at := p.begins(s, host); !at.IsZero() && since[key].IsZero() {
				since[key] = at
			}
		}
	}
	return since
}

// run lets the fleet live on.
func (s *simulation) run(t *testing.T, length time.Duration) {
	t.Helper()
	for end := s.now.Add(length); s.now.Before(end); {
		s.minute(t)
	}
}
