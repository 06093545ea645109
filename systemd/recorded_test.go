package systemd

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"funlab.casa/attestation_exporter/internal/tower/bus"
)

const recordings = "../testdata/systemd"

// recordedClock is the moment at which the answers of a folder were recorded.
func recordedClock(t *testing.T, dir string) Clock {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(dir, "clock.txt"))
	if err != nil {
		t.Fatal(err)
	}
	var clock Clock
	for line := range strings.Lines(string(content)) {
		switch fields := strings.Fields(line); fields[0] {
		case "realtime_usec":
			usec, err := strconv.ParseInt(fields[1], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			clock.Realtime = time.UnixMicro(usec)
		case "uptime_seconds":
			if clock.Monotonic, err = time.ParseDuration(fields[1] + "s"); err != nil {
				t.Fatal(err)
			}
		}
	}
	return clock
}

// recordedProperties puts the recorded interfaces of a unit together.
func recordedProperties(t testing.TB, dir, unit string, interfaces ...string) map[string]any {
	t.Helper()
	values := map[string]any{}
	for _, iface := range interfaces {
		content, err := os.ReadFile(filepath.Join(dir, unit+"."+iface+".json"))
		if err != nil {
			t.Fatal(err)
		}
		properties, err := bus.ParseProperties(content)
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range properties {
			values[name] = value.Value()
		}
	}
	return values
}

// recordedTimer decodes a timer and the service that it starts.
func recordedTimer(t *testing.T, dir, name string) Timer {
	t.Helper()
	decoded, err := decodeTimer(name, recordedProperties(t, dir, name, "Unit", "Timer"), recordedClock(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	if decoded.starts != "" {
		service, err := decodeService(decoded.starts, recordedProperties(t, dir, decoded.starts, "Unit", "Service"))
		if err != nil {
			t.Fatal(err)
		}
		service = recall(service, knownService{})
		decoded.Service = &service.Service
	}
	return decoded.Timer
}

func TestRecordedStates(t *testing.T) {
	type row struct {
		timer   string
		state   string // LoadState ActiveState SubState
		claims  string // of Loaded, Active
		moments string // which of last and next there are
		delay   time.Duration
		service string // name, Running, last result; "" for none
	}
	const (
		waiting = "loaded active waiting"
		elapsed = "loaded active elapsed"
		dead    = "loaded inactive dead"
		minute  = time.Minute
		none    = time.Duration(-1)
	)
	tests := map[string][]row{
		"boot": {
			{"cert-monitor.timer", waiting, "loaded active", "last next", minute, "cert-monitor.service idle ?"},
			{"spire-trust-bundle-update.timer", waiting, "loaded active", "last next", 61 * minute, "spire-trust-bundle-update.service idle ?"},
			{"check-keylime-certs.timer", waiting, "loaded active", "last next", minute, "check-keylime-certs.service idle ?"},
			{"renew-keylime-certs.timer", waiting, "loaded active", "last next", minute, "renew-keylime-certs.service idle ?"},
			{"keylime-cert-renewal.timer", waiting, "loaded active", "next", minute, "keylime-cert-renewal.service idle ?"},
			{"keylime-gc.timer", waiting, "loaded active", "next", time.Hour, "keylime-gc.service idle ?"},
			{"keylime-agent-recovery.timer", waiting, "loaded active", "last next", time.Second, "keylime-agent-recovery.service idle +"},
			{"lab-failing.timer", waiting, "loaded active", "last next", time.Second, "lab-failing.service idle -"},
			{"lab-killed.timer", elapsed, "loaded active", "last", time.Second, "lab-killed.service idle -"},
			{"lab-hanging.timer", "loaded active running", "loaded active", "last", time.Second, "lab-hanging.service running ?"},
			{"lab-elapsed.timer", elapsed, "loaded active", "last", time.Second, "lab-elapsed.service idle +"},
			{"lab-otherunit.timer", elapsed, "loaded active", "last", time.Second, "lab-target@one.service idle +"},
			{"lab-past.timer", elapsed, "loaded active", "", minute, "lab-past.service idle ?"},
			{"lab-orphan.timer", elapsed, "loaded active", "", minute, "lab-orphan.service idle ?"},
			{"lab-never.timer", waiting, "loaded active", "next", minute, "lab-never.service idle ?"},
			{"lab-disabled.timer", "loaded inactive dead", "loaded", "", minute, "lab-disabled.service idle ?"},
			{"lab-stopped.timer", dead, "loaded", "", minute, "lab-stopped.service idle ?"},
			{"lab-masked.timer", "masked inactive dead", "", "", none, ""},
			{"lab-badsetting.timer", "bad-setting inactive dead", "", "", none, ""},
			{"lab-noservice.timer", dead, "loaded", "", minute, "lab-noservice.service missing"},
			{"nonexistent.timer", "not-found inactive dead", "", "", none, ""},
		},
		"later": {
			{"cert-monitor.timer", waiting, "loaded active", "last next", minute, "cert-monitor.service idle +"},
			{"spire-trust-bundle-update.timer", waiting, "loaded active", "last next", 61 * minute, "spire-trust-bundle-update.service idle ?"},
			{"check-keylime-certs.timer", waiting, "loaded active", "last next", minute, "check-keylime-certs.service idle +"},
			{"renew-keylime-certs.timer", waiting, "loaded active", "last next", minute, "renew-keylime-certs.service idle +"},
			{"keylime-cert-renewal.timer", waiting, "loaded active", "next", minute, "keylime-cert-renewal.service idle ?"},
			{"keylime-gc.timer", waiting, "loaded active", "next", time.Hour, "keylime-gc.service idle ?"},
			{"keylime-agent-recovery.timer", waiting, "loaded active", "last next", time.Second, "keylime-agent-recovery.service idle +"},
			{"lab-failing.timer", waiting, "loaded active", "last next", time.Second, "lab-failing.service idle -"},
			{"lab-hanging.timer", "loaded active running", "loaded active", "last", time.Second, "lab-hanging.service running ?"},
			{"lab-elapsed.timer", elapsed, "loaded active", "last", time.Second, "lab-elapsed.service idle +"},
		},
	}
	words := func(words map[string]bool, order ...string) string {
		var said []string
		for _, word := range order {
			if words[word] {
				said = append(said, word)
			}
		}
		return strings.Join(said, " ")
	}
	describe := func(timer Timer) row {
		got := row{
			timer:   timer.Name,
			state:   strings.Join([]string{timer.LoadState, timer.ActiveState, timer.SubState}, " "),
			claims:  words(map[string]bool{"loaded": timer.Loaded(), "active": timer.Active()}, "loaded", "active"),
			moments: words(map[string]bool{"last": !timer.LastTrigger.IsZero(), "next": !timer.NextTrigger.IsZero()}, "last", "next"),
			delay:   none,
		}
		if timer.DelayMax != nil {
			got.delay = *timer.DelayMax
		}
		switch s := timer.Service; {
		case s == nil:
		case !s.Loaded():
			got.service = s.Name + " missing"
		case s.Running():
			got.service = s.Name + " running " + verdict(*s)
		default:
			got.service = s.Name + " idle " + verdict(*s)
		}
		return got
	}
	for moment, rows := range tests {
		for _, want := range rows {
			t.Run(moment+"/"+want.timer, func(t *testing.T) {
				got := describe(recordedTimer(t, filepath.Join(recordings, moment), want.timer))
				if got != want {
					t.Errorf("got\n%+v\nwant\n%+v", got, want)
				}
			})
		}
	}
}

// TestRecordedMoments compares the moments with what systemctl list-timers printed
// on the recorded host, which are whole seconds.
func TestRecordedMoments(t *testing.T) {
	for _, moment := range []string{"boot", "later"} {
		dir := filepath.Join(recordings, moment)
		table := recordedTable(t, filepath.Join(dir, "list-timers.txt"))
		compared := 0
		for name, want := range table {
			if _, err := os.Stat(filepath.Join(dir, name+".Timer.json")); err != nil {
				continue // One of the distribution's own, which was not recorded.
			}
			compared++
			t.Run(moment+"/"+name, func(t *testing.T) {
				timer := recordedTimer(t, dir, name)
				for what, pair := range map[string][2]time.Time{
					"next": {timer.NextTrigger, want[0]},
					"last": {timer.LastTrigger, want[1]},
				} {
					got, want := pair[0], pair[1]
					if got.IsZero() != want.IsZero() || got.Sub(want).Abs() > time.Second {
						t.Errorf("%s: got %v, want %v", what, got, want)
					}
				}
			})
		}
		if compared < 10 {
			t.Errorf("%s: compared %d timers, want 10 at least", moment, compared)
		}
	}
}

// recordedTable reads the columns NEXT and LAST by timer.
func recordedTable(t *testing.T, file string) map[string][2]time.Time {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	header, rest, _ := strings.Cut(string(content), "\n")
	rows, _, _ := strings.Cut(rest, "\n\n") // Then comes how many there were.
	column := func(line, title string) time.Time {
		rest := line[strings.Index(header, title):]
		if strings.HasPrefix(rest, "-") {
			return time.Time{}
		}
		const layout = "Mon 2006-01-02 15:04:05 MST"
		moment, err := time.Parse(layout, rest[:len(layout)])
		if err != nil {
			t.Fatal(err)
		}
		return moment
	}
	table := map[string][2]time.Time{}
	for line := range strings.Lines(rows) {
		name := strings.Fields(line[strings.Index(header, "UNIT"):])[0]
		table[name] = [2]time.Time{column(line, "NEXT"), column(line, "LAST")}
	}
	return table
}
