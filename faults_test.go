package main

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// patience is the timeout that the scraper names.
const patience = time.Second

// served is the exporter in this process, with everything that it logs.
type served struct {
	url  string
	stop context.CancelFunc
	done chan error
	log  *lockedLog
}

type lockedLog struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lockedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lockedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func serve(t *testing.T, args ...string) *served {
	t.Helper()
	address := freeAddress(t)
	ctx, stop := context.WithCancel(context.Background())
	s := &served{url: "http://" + address, stop: stop, done: make(chan error, 1), log: &lockedLog{}}
	go func() {
		s.done <- run(ctx, append(args, "--web.listen-address="+address, "--scrape.timeout-offset=100ms", "--log.level=debug"), io.Discard, s.log)
	}()
	t.Cleanup(stop)
	if status, body := eventually(t, s.url+"/-/ready"); status != http.StatusOK {
		t.Fatalf("got %d: %s", status, body)
	}
	return s
}

// A page is what one scrape got.
type page struct {
	status  int
	took    time.Duration
	success map[string]bool // by collector
	// failures are the reasons of all failures so far, by collector.
	failures map[string]map[string]float64
}

// all tells whether all of the collectors say that they work, none that none does.
func (p page) all(collectors map[string]string) bool {
	for collector := range collectors {
		if !p.success[collector] {
			return false
		}
	}
	return true
}

func (p page) none(collectors map[string]string) bool {
	for collector := range collectors {
		if p.success[collector] {
			return false
		}
	}
	return true
}

func (s *served) scrape(client *http.Client) (page, error) {
	request, err := http.NewRequest(http.MethodGet, s.url+"/metrics", http.NoBody)
	if err != nil {
		return page{}, err
	}
	request.Header.Set("X-Prometheus-Scrape-Timeout-Seconds", strconv.FormatFloat(patience.Seconds(), 'f', -1, 64))
	begin := time.Now()
	answer, err := client.Do(request)
	if err != nil {
		return page{}, err
	}
	defer answer.Body.Close()
	got := page{status: answer.StatusCode, success: map[string]bool{}, failures: map[string]map[string]float64{}}
	if answer.StatusCode != http.StatusOK {
		_, err := io.Copy(io.Discard, answer.Body)
		return got, err
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(answer.Body)
	got.took = time.Since(begin)
	if err != nil {
		return page{}, err
	}
	for _, metric := range families["attestation_scrape_collector_success"].GetMetric() {
		got.success[metric.GetLabel()[0].GetValue()] = metric.GetGauge().GetValue() == 1
	}
	for _, metric := range families["attestation_scrape_failures_total"].GetMetric() {
		collector, reason := metric.GetLabel()[0].GetValue(), metric.GetLabel()[1].GetValue()
		if got.failures[collector] == nil {
			got.failures[collector] = map[string]float64{}
		}
		got.failures[collector][reason] = metric.GetCounter().GetValue()
	}
	return got, nil
}

// reasons says for each collector that failed between two pages why it did.
func reasons(earlier, later page) map[string]string {
	said := map[string]string{}
	for collector, counts := range later.failures {
		var why []string
		for _, reason := range slices.Sorted(maps.Keys(counts)) {
			if counts[reason] > earlier.failures[collector][reason] {
				why = append(why, reason)
			}
		}
		if len(why) > 0 {
			said[collector] = strings.Join(why, " ")
		}
	}
	return said
}

// usage is what could grow.
type usage struct {
	goroutines, files int
	heap              uint64
}

func inUse(t *testing.T) usage {
	t.Helper()
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	debug.FreeOSMemory()
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	return usage{runtime.NumGoroutine(), len(files), memory.HeapAlloc}
}

// expectNoGrowth waits until no more is in use than before, but for the memory that
// pools and tables keep.
func expectNoGrowth(t *testing.T, before usage) {
	t.Helper()
	const slack = 4 << 20
	deadline := time.Now().Add(20 * time.Second)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		now := inUse(t)
		if now.goroutines <= before.goroutines && now.files <= before.files && now.heap <= before.heap+slack {
			return
		}
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<18)
			t.Fatalf("got %+v, want no more than %+v:\n%s", now, before, stacks[:runtime.Stack(stacks, true)])
		}
	}
}

// scrapers come at once in a round.
const scrapers = 5

// rounds is how often each conduct is scraped by all scrapers; `make soak` asks for
// more.
func rounds(t *testing.T) int {
	t.Helper()
	text := os.Getenv("SOAK_ROUNDS")
	if text == "" {
		return 2
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("SOAK_ROUNDS=%s isn't a number of rounds", text)
	}
	return n
}

// tolerance is how long a scrape may take, its way to this client included. The
// client shares the machine with the exporter, and in `make test` with other tests;
// `make soak` has it for itself.
func tolerance() time.Duration {
	if os.Getenv("SOAK_ROUNDS") != "" {
		return patience
	}
	return 2 * patience
}

// TestEverythingMisbehaves lets all that listens on a host misbehave in one way after
// the other. Each scrape is served in time, what needs nobody goes on, the reason is
// the right one, nothing is left behind, and afterwards all is well again. What the
// duty limit spares for a while is judged by the tests of packages duty and keylime.
func TestEverythingMisbehaves(t *testing.T) {
	host := newHostileHost(t)
	s := serve(t, host.args...)
	client := &http.Client{Transport: &http.Transport{}}
	scrape := func() page {
		t.Helper()
		got, err := s.scrape(client)
		if err != nil || got.status != http.StatusOK {
			t.Fatalf("got status %d and error %v", got.status, err)
		}
		return got
	}
	together := func() []page {
		t.Helper()
		pages := make([]page, scrapers)
		errs := make([]error, scrapers)
		var all sync.WaitGroup
		for i := range pages {
			all.Go(func() { pages[i], errs[i] = s.scrape(client) })
		}
		all.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		return pages
	}
	until := func(what string, holds func(page) bool) {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); !holds(scrape()); {
			if time.Now().After(deadline) {
				t.Fatalf("it never %s:\n%s", what, s.log)
			}
		}
	}
	first := scrape()
	for _, collector := range []string{"certificate", "keylime-agent", "keylime-registrar", "keylime-verifier", "spire-agent", "timer", "tpm", "trust-bundle"} {
		if !first.success[collector] {
			t.Fatalf("%s doesn't work at first:\n%s", collector, s.log)
		}
	}
	begin := inUse(t)
	allowed := tolerance()
	tests := []struct {
		name    string
		conduct conduct
		want    map[string]string
	}{
		{"silent", silent, map[string]string{"tpm": "timeout", "timer": "timeout", "keylime-agent": "timeout", "spire-agent": "timeout"}},
		{"hangs up", hangUp, map[string]string{"tpm": "unreachable", "timer": "unreachable", "keylime-agent": "unreachable", "spire-agent": "unreachable"}},
		{"half an answer", half, map[string]string{"tpm": "unreachable", "timer": "unreachable", "keylime-agent": "unreachable", "spire-agent": "unreachable"}},
		{"endless", endless, map[string]string{"tpm": "malformed", "timer": "auth", "keylime-agent": "tls", "spire-agent": "malformed"}},
		{"byte by byte", byteByByte, map[string]string{"tpm": "malformed", "timer": "timeout", "keylime-agent": "tls", "spire-agent": "malformed"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			host.behave(tt.conduct)
			// A reading of the TPM is shared for a moment, so the fault may show a few
			// scrapes late.
			until("fails", func(p page) bool { return p.none(tt.want) })
			before := scrape()
			total, late := 0, 0
			for range rounds(t) {
				for _, got := range together() {
					total++
					if got.took > allowed || !got.success["certificate"] || !got.success["trust-bundle"] {
						late++
					}
					if !got.none(tt.want) {
						t.Fatalf("got %v, want none of %v to say that it works", got.success, tt.want)
					}
				}
			}
			if late > 0 {
				t.Errorf("%d of %d scrapes were late, or lacked what needs nobody:\n%s", late, total, s.log)
			}
			why := reasons(before, scrape())
			for collector, want := range tt.want {
				// Scrapers that wait for each other's readings may run out of time, too.
				got := strings.Fields(why[collector])
				other := slices.ContainsFunc(got, func(reason string) bool { return reason != want && reason != "timeout" })
				if other || !slices.Contains(got, want) {
					t.Errorf("reasons of %s: got %q, want %q", collector, got, want)
				}
			}
			host.behave(nil)
			// What stands on the TPM comes back with it.
			until("works again", func(p page) bool { return p.all(tt.want) && p.success["boot"] == first.success["boot"] })
		})
	}
	client.CloseIdleConnections()
	expectNoGrowth(t, begin)
}
