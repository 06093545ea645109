package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"funlab.casa/attestation_exporter/status"
)

// exporterOf serves a healthy host as it is right now, changed by edits in pairs.
func exporterOf(t *testing.T, edits ...string) *httptest.Server {
	t.Helper()
	content, err := os.ReadFile("testdata/status/agent.prom")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer(edits...).Replace(string(content))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, ok := r.BasicAuth(); ok && (user != "oncall" || password != "test") {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = w.Write([]byte(text))
	}))
	t.Cleanup(server.Close)
	return server
}

// The moments in testdata are fixed, and this program has no other clock than the
// machine's: what is asked here doesn't depend on them.
func timeless() []string {
	lines := regexp.MustCompile(`(?m)^.*_timestamp_seconds.*\n`)
	content, err := os.ReadFile("testdata/status/agent.prom")
	if err != nil {
		return nil
	}
	var edits []string
	for _, line := range lines.FindAllString(string(content), -1) {
		if !strings.HasPrefix(line, "attestation_timer_next") {
			edits = append(edits, line, "")
		}
	}
	return edits
}

func TestStatusExits(t *testing.T) {
	well := exporterOf(t, timeless()...)
	warning := exporterOf(t, append(timeless(), "attestation_tpm_pcr_matches_baseline{bank=\"sha256\",pcr=\"4\"} 1", "attestation_tpm_pcr_matches_baseline{bank=\"sha256\",pcr=\"4\"} 0")...)
	critical := exporterOf(t, append(timeless(), "attestation_tpm_locked_out 0", "attestation_tpm_locked_out 1")...)
	other := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(other.Close)
	dead := "http://" + freeAddress(t)
	dir := t.TempDir()
	password := filepath.Join(dir, "password.yml")
	writeFile(t, password, "basic_auth: {username: oncall, password: test}\n")
	wrong := filepath.Join(dir, "wrong.yml")
	writeFile(t, wrong, "basic_auth: {username: oncall, password: other}\n")
	unverified := filepath.Join(dir, "unverified.yml")
	writeFile(t, unverified, "tls_config: {insecure_skip_verify: true}\n")

	tests := []struct {
		name string
		args []string
		want status.State
		says string
	}{
		{"well", []string{well.URL}, status.OK, "ATTESTATION OK: 1 host, "},
		{"warning", []string{warning.URL}, status.Warning, "TPMPCRMismatch"},
		{"critical", []string{critical.URL}, status.Critical, "TPMLockedOut"},
		{"the worst of several", []string{well.URL, warning.URL, critical.URL}, status.Critical, " on 3 hosts; "},
		{"dead", []string{well.URL, dead}, status.Critical, "exporter: doesn't answer: connect: connection refused"},
		{"no exporter", []string{other.URL}, status.Unknown, "can't be read: HTTP status 404"},
		{"password", []string{"--http-config=" + password, well.URL}, status.OK, ""},
		{"wrong password", []string{"--http-config=" + wrong, well.URL}, status.Unknown, "can't be read: HTTP status 401"},
		{"verification off", []string{"--http-config=" + unverified, well.URL}, status.Unknown, "insecure_skip_verify is refused"},
		{"no such file", []string{"--http-config=" + filepath.Join(dir, "absent"), well.URL}, status.Unknown, "--http-config: "},
		{"no such flag", []string{"--bogus"}, status.Unknown, "ATTESTATION UNKNOWN: unknown long flag '--bogus', try attestation_exporter status --help\n"},
		{"too often", []string{"--watch=10ms"}, status.Unknown, "--watch=10ms must be 1s or more"},
		{"no time", []string{"--timeout=0s"}, status.Unknown, "--timeout=0s must be positive"},
		{"no URL", []string{"spire"}, status.Unknown, "isn't a URL"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			if got := exitOf(run(t.Context(), append([]string{"status"}, tt.args...), &out, &out)); got != int(tt.want) {
				t.Errorf("exit status: got %d, want %d", got, tt.want)
			}
			if !strings.Contains(out.String(), tt.says) || !strings.HasPrefix(out.String(), "ATTESTATION "+tt.want.String()+": ") {
				t.Errorf("got\n%s\nwant a first line with %v, and %q", out.String(), tt.want, tt.says)
			}
			if strings.Contains(out.String(), "\x1b") {
				t.Errorf("got colour where there is no terminal: %q", out.String())
			}
		})
	}
}

func exitOf(err error) int {
	exit := exitError(0)
	if err != nil && !errors.As(err, &exit) {
		return -1
	}
	return int(exit)
}

func TestStatusJSON(t *testing.T) {
	server := exporterOf(t, timeless()...)
	var out bytes.Buffer
	if err := run(t.Context(), []string{"status", "--json", server.URL}, &out, &out); err != nil {
		t.Fatal(err)
	}
	var got struct {
		State string
		Hosts []struct{ Host, State string }
		Rows  []struct{ Layer, What, State, Text string }
	}
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatalf("%v:\n%s", err, out.String())
	}
	if got.State != "OK" || len(got.Hosts) != 1 || got.Hosts[0].Host != "127.0.0.1" || len(got.Rows) == 0 {
		t.Errorf("got %+v, want one healthy host", got)
	}
}

// A watcher that is interrupted exits with what it saw last, and one that is
// interrupted before it saw anything can't tell.
func TestStatusWatch(t *testing.T) {
	server := exporterOf(t, append(timeless(), "attestation_tpm_locked_out 0", "attestation_tpm_locked_out 1")...)
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	var text bytes.Buffer
	out := writer(func(p []byte) (int, error) {
		interrupt()
		return text.Write(p)
	})
	for _, want := range []status.State{status.Critical, status.Unknown} {
		if got := exitOf(run(ctx, []string{"status", "--watch=1h", server.URL}, out, out)); got != int(want) {
			t.Errorf("exit status: got %d, want %d", got, want)
		}
	}
	if got := strings.Count(text.String(), "ATTESTATION"); got != 1 {
		t.Errorf("got %d screens, want one:\n%s", got, text.String())
	}
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

// The first word decides: an exporter's flag before it is a mistake.
func TestStatusIsTheFirstWord(t *testing.T) {
	err := run(t.Context(), []string{"--log.level=debug", "status"}, &bytes.Buffer{}, &bytes.Buffer{})
	if err == nil || !strings.Contains(err.Error(), "first word") {
		t.Errorf("got %v, want an error that says so", err)
	}
}

// TestStatusOnATerminal draws on a pseudo terminal of the kernel's.
func TestStatusOnATerminal(t *testing.T) {
	server := exporterOf(t, append(timeless(), "attestation_tpm_locked_out 0", "attestation_tpm_locked_out 1")...)
	tests := []struct {
		name           string
		term, noColor  string
		columns, lines uint16
		color          bool
	}{
		{"colours", "xterm-256color", "", 100, 40, true},
		{"wide", "xterm", "", 200, 40, true},
		{"NO_COLOR", "xterm", "1", 100, 40, false},
		{"dumb", "dumb", "", 100, 40, false},
		{"no size", "xterm", "", 0, 0, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("TERM", tt.term)
			t.Setenv("NO_COLOR", tt.noColor)
			got := onTerminal(t, tt.columns, tt.lines, "status", "--all", server.URL)
			if color := strings.Contains(got, "\x1b[1;31mCRITICAL\x1b[0m"); color != tt.color {
				t.Errorf("colour: got %t, want %t:\n%s", color, tt.color, got)
			}
			if strings.Contains(got, "|") {
				t.Errorf("got performance data on a terminal:\n%s", got)
			}
			plain := regexp.MustCompile(`\x1b\[[0-9;]*m`).ReplaceAllString(got, "")
			for line := range strings.SplitSeq(plain, "\r\n") {
				if len([]rune(line)) > max(80, int(tt.columns)) {
					t.Errorf("got a line of %d characters on %d columns: %s", len([]rune(line)), tt.columns, line)
				}
			}
		})
	}
}

// onTerminal runs the program with a terminal for its output, and returns what the
// terminal was sent.
func onTerminal(t *testing.T, columns, lines uint16, args ...string) string {
	t.Helper()
	leader, follower := openTerminal(t)
	if err := unix.IoctlSetWinsize(int(follower.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: columns, Row: lines}); err != nil {
		t.Fatal(err)
	}
	drawn := make(chan string, 1)
	go func() {
		var text bytes.Buffer
		_, _ = text.ReadFrom(leader) // It ends with an error when the last follower is closed.
		drawn <- text.String()
	}()
	if got := exitOf(run(t.Context(), args, follower, follower)); got != int(status.Critical) {
		t.Errorf("exit status: got %d, want %d", got, status.Critical)
	}
	_ = follower.Close()
	select {
	case text := <-drawn:
		return text
	case <-time.After(10 * time.Second):
		t.Fatal("the terminal never ended")
		return ""
	}
}

// openTerminal makes a pseudo terminal (ptmx(4)).
func openTerminal(t *testing.T) (leader, follower *os.File) {
	t.Helper()
	leader, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = leader.Close() })
	if err := unix.IoctlSetPointerInt(int(leader.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(leader.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	follower, err = os.OpenFile(filepath.Join("/dev/pts", strconv.Itoa(number)), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return leader, follower
}

func TestFrame(t *testing.T) {
	text := "a\nb\nc\nd\n"
	tests := []struct {
		name string
		on   terminal
		want string
	}{
		{"no terminal", terminal{}, "a\nb\nc\nd\n\n"},
		{"room", terminal{is: true, rows: 5}, "\x1b[Ha\x1b[K\nb\x1b[K\nc\x1b[K\nd\x1b[K\n\x1b[J"},
		{"no room", terminal{is: true, rows: 4}, "\x1b[Ha\x1b[K\nb\x1b[K\n… 2 more lines\x1b[K\n\x1b[J"},
		{"unknown size", terminal{is: true}, "\x1b[Ha\x1b[K\nb\x1b[K\nc\x1b[K\nd\x1b[K\n\x1b[J"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.on.frame(text); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
