package collector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"funlab.casa/attestation_exporter/failure"
)

var (
	scrapeSuccess = newDesc("scrape", "collector_success",
		"Whether the collector read its source in this scrape.", "collector")
	scrapeDuration = newDesc("scrape", "collector_duration_seconds",
		"How long the collector took in this scrape.", "collector")
	scrapeFailures = newDesc("scrape", "failures_total",
		"Failed scrapes of the collector since this process began, by reason.", "collector", "reason")
)

// A Set runs collectors side by side and keeps what one scrape must remember for
// the next: failures by reason, what was here once, and which collector is still
// stuck in an earlier scrape.
type Set struct {
	members []*member
}

// NewSet makes a Set of collectors by name. Changes between working and failing
// are written to logger, once each.
func NewSet(logger *slog.Logger, collectors map[string]Collector) *Set {
	set := &Set{}
	for _, name := range slices.Sorted(maps.Keys(collectors)) {
		m := &member{
			name:      name,
			collector: collectors[name],
			logger:    logger.With("collector", name),
			slot:      make(chan struct{}, 1),
			failures:  map[failure.Reason]float64{},
		}
		m.count()
		set.members = append(set.members, m)
	}
	return set
}

// Names returns the names of the collectors, sorted.
func (s *Set) Names() []string {
	names := make([]string, 0, len(s.members))
	for _, m := range s.members {
		names = append(names, m.name)
	}
	return names
}

// Collect runs the named collectors (all, if none is named) under ctx and returns
// their metrics, those of the run itself included. It returns by the deadline of
// ctx, whatever the collectors do.
func (s *Set) Collect(ctx context.Context, names ...string) []prometheus.Metric {
	var chosen []*member
	for _, m := range s.members {
		if len(names) == 0 || slices.Contains(names, m.name) {
			chosen = append(chosen, m)
		}
	}
	results := make([][]prometheus.Metric, len(chosen))
	var wg sync.WaitGroup
	for i, m := range chosen {
		wg.Go(func() { results[i] = m.scrape(ctx) })
	}
	wg.Wait()
	return slices.Concat(results...)
}

type member struct {
	name      string
	collector Collector
	logger    *slog.Logger

	// slot is held while the collector runs. A collector stuck in a call that
	// can't be cancelled keeps it, so that it costs one goroutine and not one a
	// scrape.
	slot chan struct{}

	mu       sync.Mutex
	seen     bool
	failing  failure.Reason // empty while it works
	failures map[failure.Reason]float64
	counted  []prometheus.Metric // of failures; made anew when one of them counts
}

type outcome struct {
	metrics []prometheus.Metric
	err     error
}

func (m *member) scrape(ctx context.Context) []prometheus.Metric {
	begin := time.Now()
	got := m.run(ctx)
	duration := time.Since(begin)
	if errors.Is(context.Cause(ctx), context.Canceled) {
		return nil // The scraper went away: nobody is told, and nothing failed.
	}

	m.mu.Lock()
	defer m.mu.Unlock()
	if errors.Is(got.err, ErrNoData) {
		if !m.seen {
			m.logger.Debug("Nothing to collect", "err", got.err)
			return nil
		}
		got.err = failure.Errorf(failure.Unreachable, "was here earlier: %w", got.err)
	}
	m.note(got.err)

	ran := make(chan prometheus.Metric, 2)
	claim(ran, scrapeSuccess, got.err == nil, m.name)
	gauge(ran, scrapeDuration, duration.Seconds(), m.name)
	return append(append(got.metrics, <-ran, <-ran), m.counted...)
}

// count makes the series of failures, one for every reason. They are a third of what
// a small host has, and mostly stay as they are. The caller holds m.mu.
func (m *member) count() {
	counted := make(chan prometheus.Metric, len(failure.Reasons()))
	for _, reason := range failure.Reasons() {
		counter(counted, scrapeFailures, m.failures[reason], m.name, string(reason))
	}
	close(counted)
	m.counted = nil
	for metric := range counted {
		m.counted = append(m.counted, metric)
	}
}

// note counts and logs the end of one run. The caller holds m.mu.
func (m *member) note(err error) {
	if err == nil {
		if m.failing != "" {
			m.logger.Info("Collector works again")
		}
		m.seen, m.failing = true, ""
		return
	}
	reason := failure.Of(err)
	m.failures[reason]++
	m.count()
	if m.failing != reason {
		m.logger.Warn("Collector failed", "reason", reason, "err", err)
	}
	m.failing = reason
}

// run lets the collector run until ctx ends. The last tenth of the time is kept
// back, for a collector that stops when told to and hands over what it has.
func (m *member) run(ctx context.Context) outcome {
	inner, cancel := ctx, context.CancelFunc(func() {})
	if deadline, ok := ctx.Deadline(); ok {
		inner, cancel = context.WithDeadline(ctx, deadline.Add(-time.Until(deadline)/10))
	}
	select {
	case m.slot <- struct{}{}:
	case <-ctx.Done():
		cancel()
		return outcome{err: fmt.Errorf("wait for an earlier reading to return: %w", ctx.Err())}
	}
	done := make(chan outcome, 1)
	go func() {
		defer func() { <-m.slot }()
		defer cancel()
		done <- m.update(inner)
	}()
	select {
	case got := <-done:
		return got
	case <-ctx.Done():
		return outcome{err: fmt.Errorf("wait for the reading: %w", ctx.Err())}
	}
}

func (m *member) update(ctx context.Context) (got outcome) {
	// Room for what most collectors send spares a switch of goroutines a metric.
	ch := make(chan prometheus.Metric, 128)
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		for metric := range ch {
			got.metrics = append(got.metrics, metric)
		}
	}()
	defer func() {
		if p := recover(); p != nil {
			m.logger.Error("Collector panicked", "panic", p, "stack", string(debug.Stack()))
			got.err = failure.Errorf(failure.Internal, "panic: %v", p)
		}
		close(ch)
		<-drained
	}()
	got.err = m.collector.Update(ctx, ch)
	return got
}
