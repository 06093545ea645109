package engine_test

import (
	"fmt"
	"slices"
	"strings"
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
	inhibitions, err := replay.LoadInhibitions("../../alertmanager/alertmanager.yml")
	if err != nil {
		t.Fatal(err)
	}
	s := simulate(t, seed+1)
	s.missed = 0.01
	// What was here must have been seen to be missed.
	s.run(t, time.Hour)
	d := detection{}
	started, put := time.Now(), 0
	for round := range *rounds {
		for _, i := range s.random.Perm(len(faults())) {
			f := faults()[i]
			if (f.stays || f.lasts > 3*time.Hour) && round%3 != 0 {
				continue
			}
			s.run(t, time.Duration(s.random.IntN(60))*time.Minute)
			put++
			for alert, latency := range s.suffer(t, f, inhibitions) {
				d[symptom{f.name, alert}] = append(d[symptom{f.name, alert}], latency)
			}
		}
	}
	t.Logf("%d faults in %d evaluations, %s", put, s.evaluations, time.Since(started).Round(time.Second))
	d.hold(t)
}

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
	since := map[string]time.Time{}
	for end := s.now.Add(f.lasts); s.now.Before(end); {
		s.minute(t)
		for _, p := range f.pages {
			if at := p.begins(s, host); !at.IsZero() && since[p.alert].IsZero() {
				since[p.alert] = at
			}
		}
	}
	f.mends(s, host)
	s.run(t, f.settles)

	got, want := map[string]int{}, map[string]int{}
	latency := map[string]time.Duration{}
	for _, alert := range inhibitions.Notified(s.pack.Alerts()[before:], groupWait, groupInterval, s.now) {
		if !expectedInQuiet(alert) || f.expects(alert.Name) {
			got[alert.Name+" of "+alert.Labels.Get("host")]++
		}
		if alert.Resolved.IsZero() && !f.stays && !expectedInQuiet(alert) {
			t.Errorf("%s: %s is not over %s after it was mended", f.name, alert.Labels, f.settles)
		}
		if _, ok := latency[alert.Name]; !ok {
			latency[alert.Name] = alert.Fired.Sub(since[alert.Name])
		}
	}
	for _, p := range f.pages {
		want[p.alert+" of "+p.whose(host)]++
		if l, ok := latency[p.alert]; ok && (l < 0 || l > p.waits+seen) {
			t.Errorf("%s on %s at %s: got %s after %s, want it within %s", f.name, host.Name, s.begun.Format(time.DateTime), p.alert, l, p.waits+seen)
		}
	}
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		t.Errorf("%s on %s at %s:\n got %s\nwant %s", f.name, host.Name, s.begun.Format(time.DateTime), strings.ReplaceAll(g, " of ", "/"), strings.ReplaceAll(w, " of ", "/"))
	}
	return latency
}

func (f fault) expects(alert string) bool {
	return slices.ContainsFunc(f.pages, func(p page) bool { return p.alert == alert })
}

func (p page) begins(s *simulation, host *fleet.Host) time.Time {
	if p.since == nil {
		return s.begun
	}
	return p.since(s, host)
}

func (p page) whose(host *fleet.Host) string {
	if p.host == "" {
		return host.Name
	}
	return p.host
}

func (s *simulation) someHost(f fault) *fleet.Host {
	if f.on != nil {
		return f.on(s.fleet)
	}
	return []*fleet.Host{s.fleet.Auth, s.fleet.CA}[s.random.IntN(2)]
}

// run lets the fleet live on.
func (s *simulation) run(t *testing.T, length time.Duration) {
	t.Helper()
	for end := s.now.Add(length); s.now.Before(end); {
		s.minute(t)
	}
}
