package status

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"funlab.casa/attestation_exporter/internal/tower/scale"
)

// TestPackFiresTheSame gives each case of TestEachTrouble to the whole rule pack in
// promtool, with the world standing still around it until every wait is over, and
// asks that just those alerts fire that the screen names.
func TestPackFiresTheSame(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Fatalf("%v: `make tools` unpacks promtool", err)
	}
	dir := t.TempDir()
	var text strings.Builder
	fmt.Fprintf(&text, "rule_files: [%q]\nevaluation_interval: 1m\ntests:\n", scaledRules(t, dir))
	for _, tt := range append(troubleCases(), troubleCase{name: "healthy"}) {
		answers := []Answer{serverHost(t, tt.server...), agentHost(t, tt.agent...)}
		text.WriteString("  - interval: 1m\n    input_series:\n")
		for _, answer := range answers {
			writeExposition(&text, answer)
		}
		names := map[string]bool{}
		for _, row := range Judge(answers, fixtureNow).Rows {
			names[row.Alert] = true
		}
		for _, name := range tt.also {
			names[string(name)] = true
		}
		delete(names, "")
		// The comment names the case where promtool says what is wrong.
		expression := `group by (alertname) (ALERTS{alertstate="firing",severity=~"warning|critical"}) # ` + tt.name
		fmt.Fprintf(&text, "    promql_expr_test:\n      - eval_time: 4m\n        expr: %q\n        exp_samples:\n", expression)
		for _, name := range slices.Sorted(maps.Keys(names)) {
			fmt.Fprintf(&text, "          - {labels: '{alertname=%q}', value: 1}\n", name)
		}
	}
	path := filepath.Join(dir, "pack.test.yml")
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), promtool, "test", "rules", path).CombinedOutput(); err != nil {
		t.Errorf("promtool: %v\n%.6000s", err, out)
	}
}

// scaledRules copies the pack with waits of at most a minute, and returns the
// pattern of its files.
func scaledRules(t *testing.T, dir string) string {
	t.Helper()
	files, err := filepath.Glob("../rules/*.rules.yml")
	if err != nil || len(files) == 0 {
		t.Fatalf("got %d rule files (%v), want some", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		faster, err := scale.Rules(text, 60)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(file)), faster, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "*.rules.yml")
}

// writeExposition makes input series of an exposition. Moments move with the clock,
// so that each stays as far away as it is; promtool's clock begins at 0.
func writeExposition(to *strings.Builder, answer Answer) {
	target := fmt.Sprintf(`instance="%s:10247",job="attestation_exporter"`, answer.Host)
	write := func(series, values string) {
		fmt.Fprintf(to, "      - {series: %q, values: %q}\n", series, values)
	}
	write("up{"+target+"}", "1x6")
	for _, name := range slices.Sorted(maps.Keys(answer.Samples)) {
		for _, one := range answer.Samples[name] {
			labels := []string{target}
			for label, value := range one.metric {
				if label != "__name__" {
					labels = append(labels, fmt.Sprintf("%s=%q", label, string(value)))
				}
			}
			first, step := one.value, "+0"
			if strings.HasSuffix(name, "_timestamp_seconds") {
				first, step = one.value-fixtureNow, "+60"
			}
			write(name+"{"+strings.Join(labels, ",")+"}", strconv.FormatFloat(first, 'f', -1, 64)+step+"x6")
		}
	}
}
