package tower

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"funlab.casa/attestation_exporter/internal/tower/child"
	"funlab.casa/attestation_exporter/internal/tower/scale"
)

// startAlertmanager runs Alertmanager with the shipped configuration, whose
// receivers all deliver here.
func (t *Tower) startAlertmanager(ctx context.Context) error {
	if !t.options.Watched {
		return nil
	}
	box, err := newInbox(ctx, t.options.Notify)
	if err != nil {
		return err
	}
	t.inbox = box
	t.onClose(box.close)
	shipped, err := os.ReadFile(filepath.Join(t.options.Shipped, "alertmanager", "alertmanager.yml"))
	if err != nil {
		return err
	}
	config, err := scale.Alertmanager(shipped, t.options.DeliverFaster, box.url)
	if err != nil {
		return err
	}
	if err := replace(t.path("alertmanager", "alertmanager.yml"), config); err != nil {
		return err
	}
	program, err := exec.LookPath("alertmanager")
	if err != nil {
		return fmt.Errorf("%w: `make tools` unpacks it", err)
	}
	address := strings.TrimPrefix(t.AlertmanagerURL, "http://")
	alertmanager, err := t.program("alertmanager", nil, program,
		"--config.file="+t.path("alertmanager", "alertmanager.yml"),
		"--storage.path="+t.path("alertmanager", "data"),
		"--web.listen-address="+address,
		"--cluster.listen-address=")
	if err != nil {
		return err
	}
	t.onClose(alertmanager.Stop)
	return answers(ctx, alertmanager, t.AlertmanagerURL+"/-/ready")
}

// startPrometheus runs Prometheus with the shipped rules, before there is an
// Alertmanager: it scrapes nothing for its first 5 s, which is minutes in the time of
// the rules, and they say so.
func (t *Tower) startPrometheus(ctx context.Context) error {
	if !t.options.Watched {
		return nil
	}
	program, err := exec.LookPath("prometheus")
	if err != nil {
		return fmt.Errorf("%w: `make tools` unpacks it", err)
	}
	if err := t.writeRules(); err != nil {
		return err
	}
	alertmanager, err := child.FreeAddress(ctx, "127.0.0.1:9093")
	if err != nil {
		return err
	}
	t.AlertmanagerURL = "http://" + alertmanager
	config := fmt.Sprintf(prometheusConfig, t.interval(), t.interval(), t.interval(),
		alertmanager, strings.TrimPrefix(t.ExporterURL, "http://"), hostInstance)
	if err := replace(t.path("prometheus", "prometheus.yml"), []byte(config)); err != nil {
		return err
	}
	address, err := child.FreeAddress(ctx, "127.0.0.1:9090")
	if err != nil {
		return err
	}
	t.PrometheusURL = "http://" + address
	args := []string{
		"--config.file=" + t.path("prometheus", "prometheus.yml"),
		"--storage.tsdb.path=" + t.path("prometheus", "data"),
		"--web.listen-address=" + address,
		"--rules.alert.resend-delay=" + t.interval().String(),
	}
	if assets := webAssets(program); assets != "" {
		args = append(args, "--web.local-assets="+assets)
	}
	prometheus, err := t.program("prometheus", nil, program, args...)
	if err != nil {
		return err
	}
	t.onClose(prometheus.Stop)
	if err := answers(ctx, prometheus, t.PrometheusURL+"/-/ready"); err != nil {
		return err
	}
	return t.awaitMemory(ctx)
}

// writeRules writes the shipped rules with shorter waits, and the one parameter that
// says how the deployment's own timer is set.
func (t *Tower) writeRules() error {
	files, err := scale.RuleFiles(filepath.Join(t.options.Shipped, "rules"), t.options.Faster)
	if err != nil {
		return err
	}
	const parameters = "parameters.rules.yml"
	lag := t.job("spire-trust-bundle-update").every + timerAccuracy
	if files[parameters], err = scale.Parameter(files[parameters], "trust_bundle_outdated_seconds", lag.Seconds()); err != nil {
		return fmt.Errorf("%s: %w", parameters, err)
	}
	for name, rules := range files {
		if err := replace(t.path("prometheus", "rules", name), rules); err != nil {
			return err
		}
	}
	return nil
}

// awaitMemory waits until the rules remember the healthy host: a change before
// that would be none.
func (t *Tower) awaitMemory(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	address := t.PrometheusURL + "/api/v1/query?query=" + url.QueryEscape("instance_pcr_digest:attestation_tpm_pcr:last_seen")
	for {
		var answer struct {
			Data struct {
				Result []json.RawMessage `json:"result"`
			} `json:"data"`
		}
		if err := fetch(ctx, address, &answer); err != nil {
			return err
		}
		if len(answer.Data.Result) > 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for the rules' first results: %w", ctx.Err())
		}
	}
}

// interval is how often Prometheus scrapes and evaluates: 15 s, made faster like
// everything else, but whole seconds.
func (t *Tower) interval() time.Duration {
	return max(time.Duration(float64(15*time.Second)/t.options.Faster).Round(time.Second), time.Second)
}

// hostInstance is the host's name in the deployment. Prometheus says it instead of
// the loopback address, as an operator's file_sd would.
const hostInstance = "spire.funlab.casa:10247"

const prometheusConfig = `global:
  scrape_interval: %s
  scrape_timeout: %s
  evaluation_interval: %s
rule_files: [rules/*.yml]
alerting:
  alertmanagers:
    - static_configs:
        - targets: [%q]
scrape_configs:
  - job_name: attestation_exporter
    static_configs:
      - targets: [%q]
        labels:
          instance: %s
`

// program starts a program of the Tower with a log file of its own and ends it
// with the Tower.
func (t *Tower) program(name string, environment []string, path string, args ...string) (*child.Process, error) {
	log, err := os.OpenFile(filepath.Join(t.dir, "log", name+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(path, args...) //nolint:noctx // It outlives the call that starts it, and is stopped in order by Close.
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(), environment...)
	return child.Start(cmd)
}

// answers waits for program to say 200 at url, and not for ever.
func answers(ctx context.Context, program *child.Process, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return program.Answers(ctx, url)
}

// fetch decodes the JSON at address into something.
func fetch(ctx context.Context, address string, into any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return err
	}
	answer, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	return json.NewDecoder(answer.Body).Decode(into)
}

// webAssets is where the pages of an unpacked Prometheus are; empty where they
// are in the place that it was built with.
func webAssets(prometheus string) string {
	resolved, err := filepath.EvalSymlinks(prometheus)
	if err != nil {
		return ""
	}
	assets := filepath.Join(filepath.Dir(resolved), "..", "share", "prometheus", "web")
	if _, err := os.Stat(assets); err != nil || strings.HasPrefix(filepath.Clean(assets), "/usr/share/") {
		return ""
	}
	return filepath.Clean(assets)
}
