package alertmanager_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

const shipped = "alertmanager.yml"

// tool finds a program of Prometheus' family, which `make tools` unpacks.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%v: `make tools` unpacks %s", err, name)
	}
	return path
}

func amtool(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), tool(t, "amtool"), args...).CombinedOutput(); err != nil {
		t.Errorf("amtool %q: %v\n%s", args, err, out)
	}
}

func TestConfigurationLoads(t *testing.T) {
	amtool(t, "check-config", shipped)
}

// TestPlannedRebootsLoad takes the # away, as the comment there says.
func TestPlannedRebootsLoad(t *testing.T) {
	content, err := os.ReadFile(shipped)
	if err != nil {
		t.Fatal(err)
	}
	hidden, shown := []byte("# mute_time_intervals:"), []byte("mute_time_intervals:")
	if n := bytes.Count(content, hidden); n != 1 {
		t.Fatalf("got %d lines %q, want 1", n, hidden)
	}
	path := filepath.Join(t.TempDir(), shipped)
	if err := os.WriteFile(path, bytes.Replace(content, hidden, shown, 1), 0o600); err != nil {
		t.Fatal(err)
	}
	amtool(t, "check-config", path)
}

func TestRoutes(t *testing.T) {
	tests := []struct {
		name   string
		labels []string
		want   string
	}{
		{"the watchdog", []string{"alertname=AttestationWatchdog", "severity=none"}, "dead-mans-switch"},
		{"a host down", []string{"alertname=AttestationExporterDown", "severity=critical"}, "pager"},
		{"critical", []string{"alertname=TPMUnavailable", "severity=critical"}, "pager"},
		{"an agent refused", []string{"alertname=KeylimeIntegrityFailure", "severity=critical", "agent=a"}, "pager"},
		{"a SPIRE server down", []string{"alertname=SPIREServerDown", "severity=critical"}, "pager"},
		{"warning", []string{"alertname=TimerOverdue", "severity=warning"}, "digest"},
		{"info", []string{"alertname=IMAViolations", "severity=info"}, "digest"},
		{"no severity", []string{"alertname=SomethingElse"}, "digest"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			args := []string{"config", "routes", "test", "--config.file=" + shipped, "--verify.receivers=" + tt.want}
			amtool(t, append(args, tt.labels...)...)
		})
	}
}
