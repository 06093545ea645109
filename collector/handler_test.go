package collector

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func TestScrapeTimeout(t *testing.T) {
	tests := []struct {
		name   string
		header string
		want   time.Duration
	}{
		{"none", "", 8 * time.Second},
		{"usual", "10", 9500 * time.Millisecond},
		{"fraction", "2.5", 2 * time.Second},
		{"shorter than the offset", "0.2", 100 * time.Millisecond},
		{"zero", "0", 8 * time.Second},
		{"negative", "-3", 8 * time.Second},
		{"not a number", "NaN", 8 * time.Second},
		{"text", "soon", 8 * time.Second},
		{"endless", "+Inf", maxTimeout - 500*time.Millisecond},
		{"absurd", "1e300", maxTimeout - 500*time.Millisecond},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := scrapeTimeout(tt.header, 8*time.Second, 500*time.Millisecond); got != tt.want {
				t.Errorf("scrapeTimeout(%q): got %v, want %v", tt.header, got, tt.want)
			}
		})
	}
}

func handlerOf(collectors map[string]Collector, maxRequests int) http.Handler {
	return NewHandler(NewSet(setQuiet(), collectors), HandlerOptions{
		Timeout: 5 * time.Second, TimeoutOffset: 500 * time.Millisecond, MaxRequests: maxRequests,
		Logger: setQuiet(),
	})
}

func TestHandlerObeysTheScrapersTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		handler := handlerOf(map[string]Collector{
			"slow": setCollector(func(ctx context.Context, _ chan<- prometheus.Metric) error {
				<-ctx.Done()
				return ctx.Err()
			}),
			"well": setCollector(func(_ context.Context, ch chan<- prometheus.Metric) error {
				gauge(ch, setDesc, 1, "well")
				return nil
			}),
		}, 0)
		request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", http.NoBody)
		request.Header.Set("X-Prometheus-Scrape-Timeout-Seconds", "2")
		begin := time.Now()
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, request)
		// 2 s less the offset, less the tenth that the collector hands over in.
		if got, want := time.Since(begin), 1350*time.Millisecond; got != want {
			t.Errorf("served after %v, want %v", got, want)
		}
		for _, want := range []string{
			`attestation_scrape_collector_success{collector="slow"} 0`,
			`attestation_scrape_collector_success{collector="well"} 1`,
			`attestation_test_value{item="well"} 1`,
		} {
			if !strings.Contains(answer.Body.String(), want+"\n") {
				t.Errorf("exposition lacks %s:\n%s", want, answer.Body)
			}
		}
	})
}

func TestHandlerMaxRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		handler := handlerOf(map[string]Collector{
			"waiting": setCollector(func(context.Context, chan<- prometheus.Metric) error {
				<-release
				return nil
			}),
		}, 2)
		codes := make(chan int, 3)
		get := func() {
			answer := httptest.NewRecorder()
			handler.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", http.NoBody))
			codes <- answer.Code
		}
		go get()
		go get()
		synctest.Wait()
		get()
		if got := <-codes; got != http.StatusServiceUnavailable {
			t.Errorf("the third scrape at once: got %d, want 503", got)
		}
		close(release)
		for range 2 {
			if got := <-codes; got != http.StatusOK {
				t.Errorf("a scrape within the limit: got %d, want 200", got)
			}
		}
		get()
		if got := <-codes; got != http.StatusOK {
			t.Errorf("a scrape after the others: got %d, want 200", got)
		}
	})
}

// pipes are the connections of a server in a bubble, where the time is made up.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	conn, open := <-p
	if !open {
		return nil, net.ErrClosed
	}
	return conn, nil
}
func (p pipes) Close() error   { return nil }
func (p pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// A scraper that doesn't read what it has asked for must not keep others out.
func TestHandlerUnreadAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		handler := handlerOf(map[string]Collector{
			"long": setCollector(func(_ context.Context, ch chan<- prometheus.Metric) error {
				for i := range 10_000 {
					gauge(ch, setDesc, 1, strconv.Itoa(i))
				}
				return nil
			}),
		}, 1)
		connections := make(pipes)
		server := &http.Server{Handler: handler, WriteTimeout: MaxRequestTime}
		go func() { _ = server.Serve(connections) }()
		client, theirs := net.Pipe()
		connections <- theirs
		if _, err := client.Write([]byte("GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		code := func() int {
			answer := httptest.NewRecorder()
			handler.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", http.NoBody))
			return answer.Code
		}
		synctest.Wait()
		if got := code(); got != http.StatusServiceUnavailable {
			t.Errorf("while the answer is still going out: got %d, want 503", got)
		}
		time.Sleep(answerTimeout)
		synctest.Wait()
		if got := code(); got != http.StatusOK {
			t.Errorf("after %v in which nobody read it: got %d, want 200", answerTimeout, got)
		}
		_ = client.Close()
		close(connections)
		synctest.Wait()
	})
}

func TestHandlerUnknownCollector(t *testing.T) {
	handler := handlerOf(map[string]Collector{
		"known": setCollector(func(context.Context, chan<- prometheus.Metric) error { return nil }),
	}, 0)
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics?collect[]=other", http.NoBody))
	if answer.Code != http.StatusBadRequest {
		t.Errorf("got %d, want 400", answer.Code)
	}
	if got, want := answer.Body.String(), "no enabled collector \"other\", there are [\"known\"]\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// One collector that sends the same series twice loses the double, not the page.
func TestHandlerSurvivesDoubleSeries(t *testing.T) {
	handler := handlerOf(map[string]Collector{
		"doubling": setCollector(func(_ context.Context, ch chan<- prometheus.Metric) error {
			gauge(ch, setDesc, 1, "same")
			gauge(ch, setDesc, 2, "same")
			gauge(ch, setDesc, 3, "other")
			return nil
		}),
	}, 0)
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", http.NoBody))
	if answer.Code != http.StatusOK || !strings.Contains(answer.Body.String(), `attestation_test_value{item="other"} 3`) {
		t.Errorf("got %d:\n%s", answer.Code, answer.Body)
	}
}

func TestHandlerCompressesForOthers(t *testing.T) {
	handler := handlerOf(map[string]Collector{
		"known": setCollector(func(context.Context, chan<- prometheus.Metric) error { return nil }),
	}, 0)
	tests := []struct{ name, from, want string }{
		{"this host", "127.0.0.1:40000", ""},
		{"this host by IPv6", "[::1]:40000", ""},
		{"this host by an IPv6 socket", "[::ffff:127.0.0.1]:40000", ""},
		{"another", "192.0.2.1:40000", "gzip"},
		{"nobody can tell", "@", "gzip"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", http.NoBody)
			request.RemoteAddr = tt.from
			request.Header.Set("Accept-Encoding", "gzip")
			answer := httptest.NewRecorder()
			handler.ServeHTTP(answer, request)
			if got := answer.Header().Get("Content-Encoding"); got != tt.want {
				t.Errorf("encoding: got %q, want %q", got, tt.want)
			}
		})
	}
}
