package collector

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"funlab.casa/attestation_exporter/systemd"
)

// timerAt is a moment of the day on which the timers of these tests run.
func timerAt(clock string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, "2026-11-24T"+clock+"Z")
	if err != nil {
		panic(err)
	}
	return t
}

// timerHealthy is a host with a timer in each state that needs nobody's care.
func timerHealthy() []systemd.Timer {
	went := true
	delay := 61 * time.Minute
	active := systemd.Timer{LoadState: "loaded", ActiveState: "active", SubState: "waiting"}
	idle := systemd.Service{LoadState: "loaded", ActiveState: "inactive", SubState: "dead", Result: "success"}

	ran, ranService := active, idle
	ran.Name, ranService.Name = "spire-trust-bundle-update.timer", "spire-trust-bundle-update.service"
	ran.LastTrigger, ran.NextTrigger, ran.DelayMax, ran.Service = timerAt("06:00:00"), timerAt("12:31:07.25"), &delay, &ranService
	ranService.LastStart, ranService.LastExit, ranService.Success = timerAt("06:00:01"), timerAt("06:00:02.000001"), &went

	never, neverService := active, idle
	never.Name, neverService.Name = "keylime-gc.timer", "keylime-gc.service"
	never.NextTrigger, never.Service = timerAt("23:59:59"), &neverService

	running, runningService := active, idle
	running.Name, runningService.Name = "keylime-agent-recovery.timer", "keylime-agent-recovery.service"
	running.SubState, running.LastTrigger, running.Service = "running", timerAt("11:59:59"), &runningService
	runningService.ActiveState, runningService.SubState, runningService.LastStart = "activating", "start", timerAt("11:59:59.5")

	target := active
	target.Name = "nightly-target.timer"
	return []systemd.Timer{running, never, target, ran}
}

// timerUnwell is a host where every timer needs somebody's care.
func timerUnwell() []systemd.Timer {
	failed := false
	return []systemd.Timer{
		{Name: "failing.timer", LoadState: "loaded", ActiveState: "active", SubState: "waiting", Service: &systemd.Service{
			Name: "failing.service", LoadState: "loaded", ActiveState: "failed", SubState: "failed", Result: "exit-code",
			LastStart: timerAt("06:00:01"), LastExit: timerAt("06:00:02"), Success: &failed,
		}},
		{Name: "masked.timer", LoadState: "masked", ActiveState: "inactive", SubState: "dead"},
		{Name: "missing.timer", LoadState: "not-found", ActiveState: "inactive", SubState: "dead"},
		{Name: "no-service.timer", LoadState: "loaded", ActiveState: "inactive", SubState: "dead", Service: &systemd.Service{
			Name: "no-service.service", LoadState: "not-found", ActiveState: "inactive", SubState: "dead", Result: "success",
		}},
		{Name: "service-deleted.timer", LoadState: "loaded", ActiveState: "active", SubState: "waiting", NextTrigger: timerAt("12:00:00"), Service: &systemd.Service{
			Name: "service-deleted.service", LoadState: "not-found", ActiveState: "inactive", SubState: "dead", Result: "success",
		}},
		{Name: "stopped.timer", LoadState: "loaded", ActiveState: "inactive", SubState: "dead", LastTrigger: timerAt("00:00:00")},
	}
}

func TestTimer(t *testing.T) {
	broken := errors.New("service keylime-gc.service: property Result is uint64, not a string")
	tests := []struct {
		name   string
		timers []systemd.Timer
		err    error
		want   error
	}{
		{"healthy", timerHealthy(), nil, nil},
		{"unwell", timerUnwell(), nil, nil},
		{"empty", nil, nil, nil},
		{"partly_broken", timerHealthy()[:1], broken, broken},
		{"unreachable", nil, broken, broken},
		{"too_slow", nil, context.DeadlineExceeded, context.DeadlineExceeded},
		{"absent", nil, systemd.ErrAbsent, ErrNoData},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := NewTimer(func(context.Context) (systemd.Reading, error) { return systemd.Reading{Timers: tt.timers}, tt.err })
			err := certificateCompare(t, c, filepath.Join("..", "testdata", "systemd", "exposed_"+tt.name+".prom"))
			if !errors.Is(err, tt.want) {
				t.Errorf("Update: got error %v, want %v", err, tt.want)
			}
		})
	}
}
