package scale

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const patient = `# What it is about.
groups:
  - name: example
    rules:
      # Why it waits.
      - alert: Slow
        expr: time() - last > 600 # not a wait
        for: 15m
        keep_firing_for: 1h
        labels:
          for: 15m
      - record: for
        expr: vector(1)
      - alert: AtOnce
        expr: vector(1)
        for: 0s
`

func TestRules(t *testing.T) {
	tests := []struct {
		name   string
		factor float64
		want   map[string]string // line of patient -> line of the copy
	}{
		{"sixty times faster", 60, map[string]string{"        for: 15m": "        for: 15s", "        keep_firing_for: 1h": "        keep_firing_for: 1m"}},
		{"to the millisecond", 450, map[string]string{"        for: 15m": "        for: 2s", "        keep_firing_for: 1h": "        keep_firing_for: 8s"}},
		{"never to nothing", 1e9, map[string]string{"        for: 15m": "        for: 1ms", "        keep_firing_for: 1h": "        keep_firing_for: 1ms"}},
		{"as shipped", 1, nil},
		{"slower", 0.5, map[string]string{"        for: 15m": "        for: 30m", "        keep_firing_for: 1h": "        keep_firing_for: 2h"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want := strings.Split(patient, "\n")
			for i, line := range want {
				if other, ok := tt.want[line]; ok {
					want[i] = other
				}
			}
			got, err := Rules([]byte(patient), tt.factor)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != strings.Join(want, "\n") {
				t.Errorf("got\n%s\nwant\n%s", got, strings.Join(want, "\n"))
			}
		})
	}
}

func TestRulesRefuses(t *testing.T) {
	tests := []struct {
		name   string
		in     string
		factor float64
	}{
		{"factor 0", patient, 0},
		{"a negative factor", patient, -1},
		{"not YAML", "groups: [", 60},
		{"a wait that is none", "groups: [{name: a, rules: [{alert: A, expr: up, for: soon}]}]", 60},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := Rules([]byte(tt.in), tt.factor); err == nil {
				t.Errorf("got\n%s\nwant an error", got)
			}
		})
	}
}

// TestRulesShipped lets Prometheus load faster copies of the shipped files, and
// looks for a difference beside the waits.
func TestRulesShipped(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Fatalf("%v: `make tools` unpacks promtool", err)
	}
	files, err := filepath.Glob("../../../rules/*.rules.yml")
	if err != nil || len(files) == 0 {
		t.Fatalf("got %d rule files (%v), want some", len(files), err)
	}
	waits := regexp.MustCompile(`(?m)^( +(?:for|keep_firing_for)): .*$`)
	args := []string{"check", "rules"}
	for _, file := range files {
		shipped, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		faster, err := Rules(shipped, 60)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		same, err := Rules(shipped, 1)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if got, want := waits.ReplaceAllString(string(faster), "$1"), waits.ReplaceAllString(string(same), "$1"); got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", file, got, want)
		}
		path := filepath.Join(t.TempDir(), filepath.Base(file))
		if err := os.WriteFile(path, faster, 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, path)
	}
	if out, err := exec.CommandContext(t.Context(), promtool, args...).CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}
