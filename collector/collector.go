// Package collector turns readings into metrics.
//
// A collector is given its reading as a function and knows only names, labels and
// values: it opens no file, socket or device, so that the same collector is fed by
// this process or by a privileged one. The package does not know where a reading
// comes from, nor which thresholds anybody sets on it.
package collector

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const namespace = "attestation"

// ErrNoData says that what a collector reads isn't installed on this host. It is
// no failure: the collector then has no series at all. What was read once in the
// life of this process and then answers ErrNoData is a failure (see Set).
var ErrNoData = errors.New("not on this host")

// A Collector reads its source once and sends what it read.
type Collector interface {
	// Update sends the metrics of one reading to ch and returns when it has sent
	// the last. It sends what could be read and returns an error for what could
	// not, and ErrNoData where there is nothing to read on this host. It ends
	// when ctx does.
	Update(ctx context.Context, ch chan<- prometheus.Metric) error
}

// newDesc names a metric attestation_<subsystem>_<name>. Its arguments are
// literals: the reference in docs/metrics.md is checked against the calls.
func newDesc(subsystem, name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName(namespace, subsystem, name), help, labels, nil)
}

func gauge(ch chan<- prometheus.Metric, desc *prometheus.Desc, value float64, labels ...string) {
	send(ch, desc, prometheus.GaugeValue, value, labels)
}

func counter(ch chan<- prometheus.Metric, desc *prometheus.Desc, value float64, labels ...string) {
	send(ch, desc, prometheus.CounterValue, value, labels)
}

// claim sends 1 where the claim holds, else 0.
func claim(ch chan<- prometheus.Metric, desc *prometheus.Desc, holds bool, labels ...string) {
	value := 0.0
	if holds {
		value = 1
	}
	send(ch, desc, prometheus.GaugeValue, value, labels)
}

// moment sends t as Unix seconds. The zero time is a moment that never was, and
// has no series.
func moment(ch chan<- prometheus.Metric, desc *prometheus.Desc, t time.Time, labels ...string) {
	if t.IsZero() {
		return
	}
	send(ch, desc, prometheus.GaugeValue, float64(t.UnixMicro())/1e6, labels)
}

// send replaces what isn't UTF-8 in a label, since paths and names come from
// outside and one bad byte would otherwise cost the whole exposition.
func send(ch chan<- prometheus.Metric, desc *prometheus.Desc, kind prometheus.ValueType, value float64, labels []string) {
	for i, label := range labels {
		labels[i] = strings.ToValidUTF8(label, "\uFFFD")
	}
	ch <- prometheus.MustNewConstMetric(desc, kind, value, labels...)
}
