package fleet

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"funlab.casa/attestation_exporter/internal/tower/child"
	"funlab.casa/attestation_exporter/internal/tower/scale"
)

// Options say how a fleet is watched.
type Options struct {
	// Dir is an empty folder for Prometheus's data and configuration.
	Dir string
	// Rules are the shipped rule files, whose waits are divided by Faster.
	Rules  string
	Faster float64
	// Interval is that of scrapes and evaluations.
	Interval time.Duration
	// Past is how much of the fleet's past Prometheus shall know; 0 is none.
	Past time.Duration
}

// A Watched fleet is scraped by a Prometheus with the shipped rules, until Close.
type Watched struct {
	URL string

	options    Options
	server     *http.Server
	prometheus *child.Process

	mu    sync.Mutex // guards fleet
	fleet Fleet
}

// Watch starts a Prometheus that scrapes the fleet.
func Watch(ctx context.Context, f Fleet, options Options) (_ *Watched, err error) {
	w := &Watched{options: options, fleet: f}
	defer func() {
		if err != nil {
			w.Close()
		}
	}()
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	w.server = &http.Server{Handler: w, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = w.server.Serve(listener) }()
	if err := w.configure(listener.Addr().String()); err != nil {
		return nil, err
	}
	if options.Past > 0 {
		if err := w.remember(ctx); err != nil {
			return nil, fmt.Errorf("make the fleet's past: %w", err)
		}
	}
	return w, w.run(ctx)
}

// Break changes what is broken: these faults and no others, as if they had been there
// for two minutes, which is longer than a last success may be ago.
func (w *Watched) Break(faults ...string) {
	const age = 2 * time.Minute
	broken := map[string]time.Time{}
	for _, fault := range faults {
		broken[fault] = time.Now().Add(-age)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fleet.Broken = broken
}

// Close ends Prometheus and the exporters.
func (w *Watched) Close() {
	if w.prometheus != nil {
		w.prometheus.Stop()
	}
	if w.server != nil {
		_ = w.server.Close()
	}
}

// ServeHTTP answers for the exporter of the instance that the path names.
func (w *Watched) ServeHTTP(answer http.ResponseWriter, request *http.Request) {
	w.mu.Lock()
	f := w.fleet
	w.mu.Unlock()
	instance, now := strings.TrimPrefix(request.URL.Path, "/"), time.Now()
	if !f.Answers(instance, now) {
		http.Error(answer, "the host is gone", http.StatusServiceUnavailable)
		return
	}
	if err := f.Write(answer, instance, now, false); err != nil {
		http.Error(answer, err.Error(), http.StatusNotFound)
	}
}

// configure writes Prometheus's configuration and the faster rules.
func (w *Watched) configure(address string) error {
	var config strings.Builder
	fmt.Fprintf(&config, "global: {scrape_interval: %v, scrape_timeout: %v, evaluation_interval: %v}\nrule_files: [rules/*.yml]\n"+
		"scrape_configs:\n  - job_name: attestation_exporter\n    static_configs:\n", w.options.Interval, w.options.Interval, w.options.Interval)
	for _, instance := range Hosts() {
		fmt.Fprintf(&config, "      - {targets: [%q], labels: {instance: %q, __metrics_path__: %q}}\n", address, instance, "/"+instance)
	}
	if err := os.MkdirAll(filepath.Join(w.options.Dir, "rules"), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(w.options.Dir, "prometheus.yml"), []byte(config.String()), 0o600); err != nil {
		return err
	}
	files, err := scale.RuleFiles(w.options.Rules, w.options.Faster)
	if err != nil {
		return err
	}
	for name, rules := range files {
		if err := os.WriteFile(filepath.Join(w.options.Dir, "rules", name), rules, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// run starts Prometheus and waits until it answers.
func (w *Watched) run(ctx context.Context) error {
	program, err := exec.LookPath("prometheus")
	if err != nil {
		return fmt.Errorf("%w: `make tools` unpacks it", err)
	}
	address, err := child.FreeAddress(ctx)
	if err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(w.options.Dir, "prometheus.log"))
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(program, //nolint:noctx // It outlives ctx's caller, and is stopped by Close.
		"--config.file="+filepath.Join(w.options.Dir, "prometheus.yml"),
		"--storage.tsdb.path="+w.data(), "--web.listen-address="+address)
	cmd.Stdout, cmd.Stderr = log, log
	w.prometheus, err = child.Start(cmd)
	if err != nil {
		return err
	}
	w.URL = "http://" + address
	if err := w.prometheus.Answers(ctx, w.URL+"/-/ready"); err != nil {
		return fmt.Errorf("prometheus, whose log is %s: %w", log.Name(), err)
	}
	return nil
}

func (w *Watched) data() string { return filepath.Join(w.options.Dir, "data") }

// pastStep is the interval of scrapes in the fleet's past.
const pastStep = 30 * time.Second

// oneBlock spares promtool a pass over the past for each two hours of it.
const oneBlock = "--max-block-duration=24h"

// remember makes the fleet's past: what would have been scraped, then what the
// recording rules would have made of it. Some of these read what others record, and
// promtool shows a rule only what lies in blocks, so they are evaluated in turns.
func (w *Watched) remember(ctx context.Context) error {
	end := time.Now().Truncate(pastStep)
	begin := end.Add(-w.options.Past)
	if err := w.imagine(ctx, begin, end); err != nil {
		return err
	}
	for _, turn := range [][]string{{"parameters"}, {"keylime", "dashboard"}, {"keylime", "dashboard"}, {"keylime", "dashboard"}} {
		if err := w.run(ctx); err != nil {
			return err
		}
		args := []string{
			"tsdb", "create-blocks-from", oneBlock, "rules", "--url", w.URL, "--output-dir", w.data(), "--eval-interval", "1m",
			"--start", begin.UTC().Format(time.RFC3339), "--end", end.UTC().Format(time.RFC3339),
		}
		for _, layer := range turn {
			args = append(args, filepath.Join(w.options.Dir, "rules", layer+".rules.yml"))
		}
		err := w.promtool(ctx, args...)
		w.prometheus.Stop()
		if err != nil {
			return err
		}
	}
	// That took its time, and a gap before the first scrape would be in every picture.
	return w.imagine(ctx, end, time.Now())
}

// imagine makes blocks of what would have been scraped.
func (w *Watched) imagine(ctx context.Context, begin, end time.Time) error {
	history := filepath.Join(w.options.Dir, "history.txt")
	if err := w.fleet.writePast(history, begin, end); err != nil {
		return err
	}
	if err := w.promtool(ctx, "tsdb", "create-blocks-from", oneBlock, "openmetrics", history, w.data()); err != nil {
		return err
	}
	return os.Remove(history)
}

// writePast writes the expositions of a time as OpenMetrics.
func (f Fleet) writePast(path string, begin, end time.Time) (err error) {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	out := bufio.NewWriter(file)
	for at := begin; at.Before(end); at = at.Add(pastStep) {
		for _, instance := range Hosts() {
			if err := f.Write(out, instance, at, true); err != nil {
				return err
			}
		}
	}
	if _, err := out.WriteString("# EOF\n"); err != nil {
		return err
	}
	return out.Flush()
}

func (w *Watched) promtool(ctx context.Context, args ...string) error {
	program, err := exec.LookPath("promtool")
	if err != nil {
		return fmt.Errorf("%w: `make tools` unpacks it", err)
	}
	if said, err := exec.CommandContext(ctx, program, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("promtool %s: %w: %s", strings.Join(args, " "), err, said)
	}
	return nil
}
