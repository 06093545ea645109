package collector

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const (
	// maxTimeout bounds what a scraper may ask for in its header.
	maxTimeout = 5 * time.Minute
	// answerTimeout bounds how long a scraper may take for what it has asked for.
	answerTimeout = 30 * time.Second
	// MaxRequestTime is longer than any request to a handler can last.
	MaxRequestTime = maxTimeout + 2*answerTimeout
)

// HandlerOptions says how scrapes are served.
type HandlerOptions struct {
	// Timeout bounds a scrape that doesn't name its own timeout.
	Timeout time.Duration
	// TimeoutOffset is taken off the scraper's timeout, for the way back.
	TimeoutOffset time.Duration
	// MaxRequests is how many scrapes may run at once; 0 is no limit.
	MaxRequests int
	// Process are the exporter's own metrics, which stand beside the collectors'.
	Process []prometheus.Collector
	Logger  *slog.Logger
}

// NewHandler serves the metrics of set, gathered anew for each request. The query
// parameter collect[] chooses collectors by name.
func NewHandler(set *Set, options HandlerOptions) http.Handler {
	var slots chan struct{}
	if options.MaxRequests > 0 {
		slots = make(chan struct{}, options.MaxRequests)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if slots != nil {
			select {
			case slots <- struct{}{}:
				defer func() { <-slots }()
			default:
				http.Error(w, fmt.Sprintf("at most %d scrapes at once, try again later", options.MaxRequests), http.StatusServiceUnavailable)
				return
			}
		}
		names := r.URL.Query()["collect[]"]
		for _, name := range names {
			if !slices.Contains(set.Names(), name) {
				http.Error(w, fmt.Sprintf("no enabled collector %q, there are %q", name, set.Names()), http.StatusBadRequest)
				return
			}
		}
		timeout := scrapeTimeout(r.Header.Get("X-Prometheus-Scrape-Timeout-Seconds"), options.Timeout, options.TimeoutOffset)
		ctx, cancel := context.WithTimeout(r.Context(), timeout)
		defer cancel()

		registry := prometheus.NewRegistry()
		registry.MustRegister(gathered(set.Collect(ctx, names...)))
		for _, c := range options.Process {
			registry.MustRegister(undescribed{c})
		}
		// Who doesn't read must not keep the slot. What can't be bounded so is no network.
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(answerTimeout))
		promhttp.HandlerFor(registry, promhttp.HandlerOpts{
			ErrorLog:      slog.NewLogLogger(options.Logger.Handler(), slog.LevelError),
			ErrorHandling: promhttp.ContinueOnError,
			// Compressing costs both sides more than sending where nothing is sent.
			DisableCompression: fromThisHost(r),
		}).ServeHTTP(w, r)
	})
}

// fromThisHost tells whether the scraper came by the loopback interface.
func fromThisHost(r *http.Request) bool {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && peer.Addr().IsLoopback()
}

// scrapeTimeout is the time that one scrape has: the scraper's own timeout less
// the offset, or half of it where the offset would leave less. A header that isn't
// a positive number is as good as none.
func scrapeTimeout(header string, fallback, offset time.Duration) time.Duration {
	seconds, err := strconv.ParseFloat(header, 64)
	if err != nil || math.IsNaN(seconds) || seconds <= 0 {
		return fallback
	}
	timeout := time.Duration(min(seconds, maxTimeout.Seconds()) * float64(time.Second))
	return max(timeout-offset, timeout/2)
}

// gathered is what a scrape has read. It describes nothing, so that the registry
// checks the metrics as they are instead of holding them to a promise.
type gathered []prometheus.Metric

func (g gathered) Describe(chan<- *prometheus.Desc) {}

func (g gathered) Collect(ch chan<- prometheus.Metric) {
	for _, metric := range g {
		ch <- metric
	}
}

// undescribed is a collector that needn't be compared with its own promise at each
// scrape. One registry for all, made anew, is cheaper than a lasting one beside it:
// client_golang checks what it merges a second time.
type undescribed struct{ prometheus.Collector }

func (undescribed) Describe(chan<- *prometheus.Desc) {}
