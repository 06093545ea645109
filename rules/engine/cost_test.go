package engine_test

import (
	"fmt"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// BenchmarkEvaluation is one evaluation of the whole pack, a minute after the
// other, over fleets of several sizes.
func BenchmarkEvaluation(b *testing.B) {
	for _, hosts := range []int{10, 100, 1000, 10000} {
		b.Run(fmt.Sprintf("hosts=%d", hosts), func(b *testing.B) {
			s := simulate(b, seed)
			s.fleet.Grow(hosts, begin())
			for _, host := range s.fleet.Hosts()[3:] {
				s.watch(job, host, 20*time.Second)
			}
			// The first evaluations find nothing remembered; these have a range of 5
			// minutes to read.
			for range 6 {
				s.scrape(b)
				s.evaluate(b)
			}
			samples, evaluations, used := s.pack.Samples(), 0, time.Duration(0)
			for b.Loop() {
				b.StopTimer()
				s.scrape(b)
				before := processorTime(b)
				b.StartTimer()
				s.evaluate(b)
				used += processorTime(b) - before
				evaluations++
			}
			b.ReportMetric(used.Seconds()/float64(evaluations), "CPU-s/op")
			var memory runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&memory)
			b.ReportMetric(float64(s.store.Series()), "series")
			b.ReportMetric(float64(s.pack.Samples()-samples)/float64(evaluations), "samples/op")
			b.ReportMetric(float64(memory.HeapAlloc)/(1<<20), "MiB")
			for _, cost := range s.pack.Costs()[:5] {
				b.Logf("%d hosts: %s %s", hosts, cost.Name, cost.Took.Round(time.Microsecond))
			}
		})
	}
}

// processorTime is what this process has used, which a busy machine changes less
// than the time that goes by.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// TestVerifierFallsUnderAFleet is one notification, however many agents it has.
func TestVerifierFallsUnderAFleet(t *testing.T) {
	t.Parallel()
	inhibitions := loadInhibitions(t)
	for name, breaks := range map[string]func(*simulation){
		"KeylimeVerifierUnreachable": func(s *simulation) { s.fleet.Verifier.Down = true },
		"KeylimeNobodyAttested":      func(s *simulation) { s.fleet.Verifier.Frozen = true },
	} {
		t.Run(name, func(t *testing.T) {
			s := simulate(t, seed)
			s.fleet.Grow(*agents, begin())
			for range 15 {
				if s.scrape(t); s.evaluations == 3 {
					breaks(s)
				}
				s.evaluate(t)
			}
			var got []string
			for _, alert := range inhibitions.Notified(s.pack.Alerts(), groupWait, groupInterval, s.now) {
				if !expectedInQuiet(alert) {
					got = append(got, alert.Name)
				}
			}
			if len(got) != 1 || got[0] != name {
				t.Errorf("got %d notifications %.200q, want one of %s", len(got), got, name)
			}
		})
	}
}
