package collector

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/expfmt"

	"funlab.casa/attestation_exporter/failure"
)

// setCollector is a collector made of a function.
type setCollector func(ctx context.Context, ch chan<- prometheus.Metric) error

func (f setCollector) Update(ctx context.Context, ch chan<- prometheus.Metric) error {
	return f(ctx, ch)
}

var setDesc = prometheus.NewDesc("attestation_test_value", "A value.", []string{"item"}, nil)

func setQuiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// setScrape returns the exposition of one scrape with a deadline of ten seconds,
// without durations and reasons that never occurred.
func setScrape(t *testing.T, set *Set, names ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	return setExpose(t, set.Collect(ctx, names...))
}

func setExpose(t *testing.T, metrics []prometheus.Metric) string {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(gathered(metrics))
	families, err := registry.Gather()
	if err != nil {
		t.Fatalf("gather: %v", err)
	}
	var text strings.Builder
	for _, family := range families {
		if _, err := expfmt.MetricFamilyToText(&text, family); err != nil {
			t.Fatalf("write %s: %v", family.GetName(), err)
		}
	}
	var kept []string
	for line := range strings.Lines(text.String()) {
		comment := strings.HasPrefix(line, "#")
		duration := strings.HasPrefix(line, "attestation_scrape_collector_duration_seconds")
		noFailure := strings.HasPrefix(line, "attestation_scrape_failures_total") && strings.HasSuffix(line, " 0\n")
		if !comment && !duration && !noFailure {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}

func TestSet(t *testing.T) {
	healthy := setCollector(func(_ context.Context, ch chan<- prometheus.Metric) error {
		gauge(ch, setDesc, 1, "healthy")
		return nil
	})
	tests := []struct {
		name      string
		collector setCollector
		want      string
	}{
		{
			name:      "healthy",
			collector: healthy,
			want: `attestation_scrape_collector_success{collector="subject"} 1
attestation_test_value{item="healthy"} 1
`,
		},
		{
			name: "not here",
			collector: func(context.Context, chan<- prometheus.Metric) error {
				return fmt.Errorf("no chip: %w", ErrNoData)
			},
			want: "",
		},
		{
			name: "partly broken",
			collector: func(_ context.Context, ch chan<- prometheus.Metric) error {
				gauge(ch, setDesc, 1, "part")
				return failure.Errorf(failure.Malformed, "half an answer")
			},
			want: `attestation_scrape_collector_success{collector="subject"} 0
attestation_scrape_failures_total{collector="subject",reason="malformed"} 1
attestation_test_value{item="part"} 1
`,
		},
		{
			name: "panics",
			collector: func(_ context.Context, ch chan<- prometheus.Metric) error {
				gauge(ch, setDesc, 1, "part")
				panic("a surprise")
			},
			want: `attestation_scrape_collector_success{collector="subject"} 0
attestation_scrape_failures_total{collector="subject",reason="internal"} 1
attestation_test_value{item="part"} 1
`,
		},
		{
			name: "stops when told to and hands over what it has",
			collector: func(ctx context.Context, ch chan<- prometheus.Metric) error {
				gauge(ch, setDesc, 1, "part")
				<-ctx.Done()
				return ctx.Err()
			},
			want: `attestation_scrape_collector_success{collector="subject"} 0
attestation_scrape_failures_total{collector="subject",reason="timeout"} 1
attestation_test_value{item="part"} 1
`,
		},
		{
			name: "a label that isn't UTF-8",
			collector: func(_ context.Context, ch chan<- prometheus.Metric) error {
				gauge(ch, setDesc, 1, "a\xffb")
				return nil
			},
			want: `attestation_scrape_collector_success{collector="subject"} 1
attestation_test_value{item="a` + "\uFFFD" + `b"} 1
`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				set := NewSet(setQuiet(), map[string]Collector{"subject": tt.collector})
				if got := setScrape(t, set); got != tt.want {
					t.Errorf("exposition: got\n%swant\n%s", got, tt.want)
				}
			})
		})
	}
}

// A collector that ignores its context must neither delay the others nor be begun
// a second time, however often it is scraped.
func TestSetStuckCollector(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release, updates := make(chan struct{}), 0
		set := NewSet(setQuiet(), map[string]Collector{
			"stuck": setCollector(func(_ context.Context, ch chan<- prometheus.Metric) error {
				updates++
				<-release
				gauge(ch, setDesc, 1, "late")
				return nil
			}),
			"well": setCollector(func(_ context.Context, ch chan<- prometheus.Metric) error {
				gauge(ch, setDesc, 1, "well")
				return nil
			}),
		})
		for scrape := range 5 {
			begin := time.Now()
			got := setScrape(t, set)
			want := fmt.Sprintf(`attestation_scrape_collector_success{collector="stuck"} 0
attestation_scrape_collector_success{collector="well"} 1
attestation_scrape_failures_total{collector="stuck",reason="timeout"} %d
attestation_test_value{item="well"} 1
`, scrape+1)
			if got != want {
				t.Errorf("scrape %d: got\n%swant\n%s", scrape, got, want)
			}
			if took := time.Since(begin); took != 10*time.Second {
				t.Errorf("scrape %d took %v, want the whole deadline of 10s", scrape, took)
			}
			synctest.Wait()
			if updates != 1 {
				t.Errorf("scrape %d: %d updates began, want the one that is stuck", scrape, updates)
			}
		}
		close(release)
		synctest.Wait()
		got := setScrape(t, set)
		want := `attestation_scrape_collector_success{collector="stuck"} 1
attestation_scrape_collector_success{collector="well"} 1
attestation_scrape_failures_total{collector="stuck",reason="timeout"} 5
`
		if !strings.HasPrefix(got, want) {
			t.Errorf("after its release: got\n%swant it to begin with\n%s", got, want)
		}
	})
}

func TestSetWhatWasHereAndVanishedIsAFailure(t *testing.T) {
	answers := []error{ErrNoData, nil, ErrNoData, nil}
	set := NewSet(setQuiet(), map[string]Collector{
		"subject": setCollector(func(context.Context, chan<- prometheus.Metric) error {
			answer := answers[0]
			answers = answers[1:]
			return answer
		}),
	})
	for i, want := range []string{
		"",
		"attestation_scrape_collector_success{collector=\"subject\"} 1\n",
		"attestation_scrape_collector_success{collector=\"subject\"} 0\nattestation_scrape_failures_total{collector=\"subject\",reason=\"unreachable\"} 1\n",
		"attestation_scrape_collector_success{collector=\"subject\"} 1\nattestation_scrape_failures_total{collector=\"subject\",reason=\"unreachable\"} 1\n",
	} {
		if got := setScrape(t, set); got != want {
			t.Errorf("scrape %d: got\n%swant\n%s", i, got, want)
		}
	}
}

func TestSetFailuresArePresentFromTheStart(t *testing.T) {
	set := NewSet(setQuiet(), map[string]Collector{
		"subject": setCollector(func(context.Context, chan<- prometheus.Metric) error { return nil }),
	})
	got := testutil.CollectAndCount(gathered(set.Collect(t.Context())), "attestation_scrape_failures_total")
	if want := len(failure.Reasons()); got != want {
		t.Errorf("series of failures_total: got %d, want %d", got, want)
	}
}

func TestSetScraperWentAway(t *testing.T) {
	waits := true
	set := NewSet(setQuiet(), map[string]Collector{
		"subject": setCollector(func(ctx context.Context, _ chan<- prometheus.Metric) error {
			if waits {
				<-ctx.Done()
			}
			return ctx.Err()
		}),
	})
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if got := set.Collect(gone); len(got) != 0 {
		t.Errorf("a scrape that nobody waits for: got %d metrics, want none", len(got))
	}
	set.members[0].slot <- struct{}{} // Its goroutine has ended.
	waits = false
	<-set.members[0].slot
	if got, want := setScrape(t, set), "attestation_scrape_collector_success{collector=\"subject\"} 1\n"; got != want {
		t.Errorf("the next scrape: got\n%swant no failure counted:\n%s", got, want)
	}
}

func TestSetChoosesByName(t *testing.T) {
	item := func(name string) setCollector {
		return func(_ context.Context, ch chan<- prometheus.Metric) error {
			gauge(ch, setDesc, 1, name)
			return nil
		}
	}
	set := NewSet(setQuiet(), map[string]Collector{"one": item("1"), "two": item("2")})
	want := "attestation_scrape_collector_success{collector=\"two\"} 1\nattestation_test_value{item=\"2\"} 1\n"
	if got := setScrape(t, set, "two"); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// A failing source is logged when it starts to fail, when it fails for another
// reason, and when it recovers.
func TestSetLogsChangesOnly(t *testing.T) {
	var log bytes.Buffer
	answers := []error{
		failure.Errorf(failure.Malformed, "a"), failure.Errorf(failure.Malformed, "a"),
		failure.Errorf(failure.Auth, "b"), nil, nil, errors.New("c"),
	}
	set := NewSet(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	})), map[string]Collector{
		"subject": setCollector(func(context.Context, chan<- prometheus.Metric) error {
			answer := answers[0]
			answers = answers[1:]
			return answer
		}),
	})
	for range answers {
		set.Collect(t.Context())
	}
	want := `level=WARN msg="Collector failed" collector=subject reason=malformed err=a
level=WARN msg="Collector failed" collector=subject reason=auth err=b
level=INFO msg="Collector works again" collector=subject
level=WARN msg="Collector failed" collector=subject reason=internal err=c
`
	if got := log.String(); got != want {
		t.Errorf("log: got\n%swant\n%s", got, want)
	}
}
