package engine_test

import (
	"cmp"
	"context"
	"flag"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"funlab.casa/attestation_exporter/rules/engine/fleet"
	"funlab.casa/attestation_exporter/rules/engine/replay"
)

var (
	days   = flag.Int("days", 14, "length of the quiet time")
	rounds = flag.Int("rounds", 3, "how often each fault is put in; one that lasts for hours or stays, a third as often")
	agents = flag.Int("agents", 200, "how many a verifier has when it falls")
	only   = flag.String("fault", "", "which faults to put in, by a regular expression")
	update = flag.Bool("update", false, "write the table of docs/alerts.md instead of comparing with it")
)

const (
	pack     = ".."
	job      = "attestation_exporter"
	interval = time.Minute
	seed     = 20260320
)

// begin is such that a fortnight has a change of clocks, two reboots of each host,
// a kernel and an outage of Prometheus in it.
func begin() time.Time { return time.Date(2026, 3, 20, 0, 0, 0, 0, time.UTC) }

// A simulation is a Prometheus that scrapes a fleet and evaluates the pack.
type simulation struct {
	fleet   *fleet.Fleet
	pack    *replay.Pack
	store   *replay.Store
	targets []*target
	random  *rand.Rand
	// missed is the share of scrapes that fail for no reason.
	missed float64

	now         time.Time
	evaluations int
	// When the fault that is in the fleet was put there, or will be.
	begun   time.Time
	pending func()
}

type target struct {
	*replay.Target
	job   string
	shows shower
	// How long before the evaluation it is scraped.
	before time.Duration
	// Removed is one that Prometheus no longer has.
	removed bool
}

// A shower is what can be scraped.
type shower interface {
	Instance() string
	Expose(to fleet.Exposition, now time.Time) bool
}

func simulate(t testing.TB, seed uint64) *simulation {
	t.Helper()
	folder, err := os.MkdirTemp("", "replay")
	if err != nil {
		t.Fatal(err)
	}
	store, err := replay.NewStore(folder)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = store.Close(), os.RemoveAll(folder) })
	s := &simulation{store: store, now: begin(), random: rand.New(rand.NewPCG(seed, 1))}
	if s.fleet, err = fleet.New(seed, begin()); err != nil {
		t.Fatal(err)
	}
	if s.pack, err = replay.Load(pack, interval, store); err != nil {
		t.Fatal(err)
	}
	for i, host := range s.fleet.Hosts() {
		s.watch(job, host, time.Duration(45-i*19)*time.Second)
	}
	s.watch("openbao", s.fleet.OpenBao, 45*time.Second)
	return s
}

// watch adds a target, in the order of the moments: the fleet's time has no way back.
func (s *simulation) watch(job string, shows shower, before time.Duration, pairs ...string) {
	s.targets = append(s.targets, &target{Target: replay.NewTarget(job, shows.Instance(), pairs...), job: job, shows: shows, before: before})
	slices.SortStableFunc(s.targets, func(a, b *target) int { return cmp.Compare(b.before, a.before) })
}

// unwatch takes an exporter out of Prometheus' targets, or puts it back.
func (s *simulation) unwatch(host *fleet.Host, removed bool) {
	for _, one := range s.targets {
		if one.shows == shower(host) {
			one.removed = removed
		}
	}
}

// minute scrapes every target once and evaluates the pack once.
func (s *simulation) minute(t testing.TB) {
	t.Helper()
	s.scrape(t)
	s.evaluate(t)
}

// scrape lets a minute go by, and scrapes every target in it.
func (s *simulation) scrape(t testing.TB) {
	t.Helper()
	s.now = s.now.Add(interval)
	stepped := time.Duration(-1)
	for _, one := range s.targets {
		at := s.now.Add(-one.before)
		if one.before != stepped {
			s.fleet.Step(at)
			stepped = one.before
		}
		if s.pending != nil && !at.Before(s.begun) {
			s.pending()
			s.pending = nil
		}
		scraped := one.Missed
		switch {
		case one.removed:
			scraped = one.Removed
		case s.random.Float64() >= s.missed && one.shows.Expose(one, at):
			scraped = one.Scraped
		}
		if err := scraped(context.Background(), s.store, at); err != nil {
			t.Fatal(err)
		}
	}
}

func (s *simulation) evaluate(t testing.TB) {
	t.Helper()
	s.evaluations++
	if err := s.pack.Evaluate(context.Background(), s.now); err != nil {
		t.Fatal(err)
	}
}

// outage is a Prometheus that is away, while the fleet goes on.
func (s *simulation) outage(t *testing.T, length time.Duration) {
	t.Helper()
	for end := s.now.Add(length); s.now.Before(end); {
		s.now = s.now.Add(interval)
		s.fleet.Step(s.now)
	}
	if err := s.pack.Restart(); err != nil {
		t.Fatal(err)
	}
}
