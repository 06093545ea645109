// The floor is the least that an exporter in Go can be: exporter-toolkit, its own
// process's metrics, and as many series as it is told, which cost nothing to read.
// `make bench` times it beside the exporter, to tell what is the exporter's own.
package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	versioncollector "github.com/prometheus/client_golang/prometheus/collectors/version"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/exporter-toolkit/web"
	"github.com/prometheus/exporter-toolkit/web/kingpinflag"
)

func main() {
	if err := run(os.Args[1:]); err != nil && !errors.Is(err, http.ErrServerClosed) {
		fmt.Fprintln(os.Stderr, "floor:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	app := kingpin.New("floor", "The least that an exporter in Go can be.")
	toolkit := kingpinflag.AddFlags(app, "127.0.0.1:10249")
	count := app.Flag("series", "Series beside those of the process.").Default("0").Int()
	if _, err := app.Parse(args); err != nil {
		return err
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		versioncollector.NewCollector("floor"),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		series(*count),
	)
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{DisableCompression: true}))
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	return web.ListenAndServe(server, toolkit, slog.New(slog.DiscardHandler))
}

// series are that many series, five of a metric, made anew for each scrape as those
// of an exporter are.
type series int

const perMetric = 5

// Describe says nothing, as the exporter's own metrics of a scrape don't.
func (series) Describe(chan<- *prometheus.Desc) {}

// Collect makes the series.
func (s series) Collect(ch chan<- prometheus.Metric) {
	var desc *prometheus.Desc
	for i := range int(s) {
		if i%perMetric == 0 {
			desc = prometheus.NewDesc(fmt.Sprintf("floor_metric_%d", i/perMetric), "A series that costs nothing to read.", []string{"name", "number"}, nil)
		}
		ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(i), "/etc/keylime/certs/agent.crt", strconv.Itoa(i))
	}
}
