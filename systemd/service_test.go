package systemd

import (
	"testing"
	"time"
)

func TestRunning(t *testing.T) {
	tests := []struct {
		active, sub string
		want        bool
	}{
		{"inactive", "dead", false},
		{"failed", "failed", false},
		{"inactive", "dead-before-auto-restart", false},
		{"maintenance", "cleaning", false},
		{"active", "running", true},
		{"active", "exited", false},
		{"reloading", "reload", true},
		{"refreshing", "refresh-extensions", true},
		{"activating", "condition", true},
		{"activating", "start-pre", true},
		{"activating", "start", true},
		{"activating", "auto-restart", false},
		{"activating", "auto-restart-queued", false},
		{"deactivating", "stop-sigterm", true},
		{"deactivating", "final-sigkill", true},
		{"a state to come", "running", false},
	}
	for _, tt := range tests {
		t.Run(tt.active+" "+tt.sub, func(t *testing.T) {
			if got := running(tt.active, tt.sub); got != tt.want {
				t.Errorf("running(%q, %q): got %v, want %v", tt.active, tt.sub, got, tt.want)
			}
		})
	}
}

// TestRecall walks a service through its life: what is known of the last finished
// run at each reading, when readings remember one another.
func TestRecall(t *testing.T) {
	start := at("2026-11-24T12:00:00Z")
	run := func(active, sub, result string, start, exit time.Time) Service {
		return Service{ActiveState: active, SubState: sub, Result: result, LastStart: start, LastExit: exit}
	}
	after := func(minutes int) time.Time { return start.Add(time.Duration(minutes) * time.Minute) }
	never := time.Time{}
	tests := []struct {
		name     string
		readings []Service
		want     string // of each reading: + went well, - failed, ? not known
	}{
		{"never ran", []Service{run("inactive", "dead", "success", never, never)}, "?"},
		{"first run, well", []Service{
			run("activating", "start", "success", start, never),
			run("inactive", "dead", "success", start, after(1)),
		}, "?+"},
		{"first run, badly", []Service{
			run("activating", "start", "success", start, never),
			run("failed", "failed", "exit-code", start, after(1)),
		}, "?-"},
		{"second run keeps the first's result", []Service{
			run("failed", "failed", "exit-code", start, after(1)),
			run("activating", "start", "success", after(5), after(1)),
			run("activating", "start-post", "success", after(5), after(1)),
			run("inactive", "dead", "success", after(5), after(6)),
		}, "---+"},
		{"run in progress when this process began", []Service{
			run("activating", "start", "success", after(5), after(1)),
		}, "?"},
		{"a run that nobody saw came between", []Service{
			run("inactive", "dead", "success", start, after(1)),
			run("activating", "start", "success", after(5), after(3)),
		}, "+?"},
		{"failed and still being stopped", []Service{
			run("deactivating", "stop-sigterm", "timeout", start, never),
		}, "-"},
		{"could not be started", []Service{run("failed", "failed", "resources", never, never)}, "-"},
		{"skipped by its condition", []Service{run("inactive", "dead", "exec-condition", never, after(1))}, "?"},
		{"skipped after a failure", []Service{
			run("failed", "failed", "exit-code", start, after(1)),
			run("inactive", "dead", "exec-condition", after(5), after(6)),
		}, "-?"},
		{"remains after exit", []Service{run("active", "exited", "success", start, after(1))}, "+"},
		{"waits for its next attempt", []Service{run("activating", "auto-restart", "exit-code", start, after(1))}, "-"},
		{"result to come", []Service{run("failed", "failed", "sorrow", start, after(1))}, "-"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got string
			var known knownService
			for _, reading := range tt.readings {
				known = recall(knownService{Service: reading}, known)
				got += verdict(known.Service)
			}
			if got != tt.want {
				t.Errorf("results of the readings: got %q, want %q", got, tt.want)
			}
		})
	}
}

func verdict(s Service) string {
	switch {
	case s.Success == nil:
		return "?"
	case *s.Success:
		return "+"
	}
	return "-"
}

func TestLater(t *testing.T) {
	a, b := at("2026-11-24T12:00:00Z"), at("2026-11-24T12:00:01Z")
	tests := []struct {
		name                string
		first, second, want time.Time
	}{
		{"neither", time.Time{}, time.Time{}, time.Time{}},
		{"first only", a, time.Time{}, a},
		{"second only", time.Time{}, a, a},
		{"first", b, a, b},
		{"second", a, b, b},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := later(tt.first, tt.second); !got.Equal(tt.want) {
				t.Errorf("later(%v, %v): got %v, want %v", tt.first, tt.second, got, tt.want)
			}
		})
	}
}
