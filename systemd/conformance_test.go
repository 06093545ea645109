//go:build conformance

package systemd

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestConformance compares a reading of every timer of this host with what
// systemctl says there. It wants a host with systemd, and is run in the guest of
// the virtual machine by `make conformance`.
func TestConformance(t *testing.T) {
	r := newReader(t, Options{Include: ".*", Expected: []string{"nonexistent.timer"}})
	begin := time.Now()
	reading := mustRead(t, r)
	t.Logf("first reading, of %d timers: %v", len(reading.Timers), time.Since(begin).Round(time.Millisecond))
	if len(reading.Timers) < 7 {
		t.Errorf("got %d timers, want 7 at least", len(reading.Timers))
	}
	t.Log(summary(reading))
	t.Run("time of a reading of the reference timers", func(t *testing.T) {
		r := newReader(t, Options{})
		timers := len(mustRead(t, r).Timers)
		var took []time.Duration
		for range 30 {
			begin := time.Now()
			mustRead(t, r)
			took = append(took, time.Since(begin))
		}
		slices.Sort(took)
		t.Logf("%d timers: %v median, %v worst of 30", timers, took[15].Round(time.Millisecond), took[29].Round(time.Millisecond))
	})
	planned := listTimers(t)
	for _, timer := range reading.Timers {
		t.Run(timer.Name, func(t *testing.T) {
			compareTimer(t, timer)
			if want, listed := planned[timer.Name]; listed {
				sameMoment(t, "next", timer.NextTrigger, want.next)
				sameMoment(t, "last", timer.LastTrigger, want.last)
			}
			if timer.Service != nil {
				compareService(t, *timer.Service)
			}
		})
	}
}

// TestConformanceRemembers lets things happen to a service between two readings: what
// a Reader remembers, and then asks little for, is what a new one reads.
func TestConformanceRemembers(t *testing.T) {
	const service = "systemd-tmpfiles-clean.service"
	r := newReader(t, Options{Include: ".*"})
	mustRead(t, r)
	steps := []struct {
		name string
		args []string
	}{
		{"nothing", nil},
		{"a run", []string{"start", service}},
		{"another run", []string{"start", service}},
		{"the units are read anew", []string{"daemon-reload"}},
		{"systemd starts anew", []string{"daemon-reexec"}},
		{"failures are forgotten", []string{"reset-failed"}},
		{"a timer is stopped", []string{"stop", "systemd-tmpfiles-clean.timer"}},
		{"and started", []string{"start", "systemd-tmpfiles-clean.timer"}},
	}
	for _, step := range steps {
		if step.args != nil {
			systemctl(t, step.args...)
		}
		got, want := mustRead(t, r), mustRead(t, newReader(t, Options{Include: ".*"}))
		if len(got.Timers) < len(want.Timers) {
			t.Errorf("%s: got %d timers, want %d", step.name, len(got.Timers), len(want.Timers))
		}
		for _, timer := range want.Timers {
			i := slices.IndexFunc(got.Timers, func(t Timer) bool { return t.Name == timer.Name })
			if i < 0 {
				t.Errorf("%s: %s is missing", step.name, timer.Name)
				continue
			}
			// A moment by the monotonic clock is placed anew by each reading.
			if same := got.Timers[i].NextTrigger.Sub(timer.NextTrigger).Abs() < time.Second; !same {
				t.Errorf("%s: next of %s: got %v, want %v", step.name, timer.Name, got.Timers[i].NextTrigger, timer.NextTrigger)
			}
			got.Timers[i].NextTrigger = timer.NextTrigger
			if !reflect.DeepEqual(got.Timers[i], timer) {
				t.Errorf("%s: got\n%+v %+v\nwant\n%+v %+v", step.name, got.Timers[i], got.Timers[i].Service, timer, timer.Service)
			}
		}
	}
}

func compareTimer(t *testing.T, timer Timer) {
	t.Helper()
	want := show(t, timer.Name)
	got := map[string]string{
		"LoadState": timer.LoadState, "ActiveState": timer.ActiveState, "SubState": timer.SubState,
	}
	for property, value := range got {
		if value != want[property] {
			t.Errorf("%s: got %q, want %q", property, value, want[property])
		}
	}
}

func compareService(t *testing.T, service Service) {
	t.Helper()
	want := show(t, service.Name)
	got := map[string]string{
		"LoadState": service.LoadState, "ActiveState": service.ActiveState,
		"SubState": service.SubState, "Result": service.Result,
	}
	for property, value := range got {
		if value != want[property] {
			t.Errorf("%s of %s: got %q, want %q", property, service.Name, value, want[property])
		}
	}
	// A run begins and ends within a moment of its main process here.
	sameMoment(t, "start of "+service.Name, service.LastStart, unixSeconds(t, want["ExecMainStartTimestamp"]))
	sameMoment(t, "exit of "+service.Name, service.LastExit, unixSeconds(t, want["ExecMainExitTimestamp"]))
}

// sameMoment allows for systemctl's whole seconds and for a busy machine.
func sameMoment(t *testing.T, what string, got, want time.Time) {
	t.Helper()
	if got.IsZero() != want.IsZero() || got.Sub(want).Abs() > 2*time.Second {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// show asks systemctl for all properties of a unit.
func show(t *testing.T, unit string) map[string]string {
	t.Helper()
	properties := map[string]string{}
	for line := range strings.Lines(string(systemctl(t, "show", "--timestamp=unix", unit))) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		properties[name] = value
	}
	return properties
}

type plan struct{ next, last time.Time }

// listTimers asks systemctl for its own conversion of the clocks.
func listTimers(t *testing.T) map[string]plan {
	t.Helper()
	var rows []struct {
		Unit       string
		Next, Last *uint64
	}
	if err := json.Unmarshal(systemctl(t, "list-timers", "--all", "--output=json"), &rows); err != nil {
		t.Fatal(err)
	}
	moment := func(usec *uint64) time.Time {
		if usec == nil {
			return time.Time{}
		}
		return fromRealtime(*usec)
	}
	plans := map[string]plan{}
	for _, row := range rows {
		plans[row.Unit] = plan{moment(row.Next), moment(row.Last)}
	}
	return plans
}

// unixSeconds reads systemctl's @SECONDS, which is nothing for no moment.
func unixSeconds(t *testing.T, text string) time.Time {
	t.Helper()
	if text == "" || text == "n/a" || text == "@0" {
		return time.Time{}
	}
	seconds, err := strconv.ParseInt(strings.TrimPrefix(text, "@"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return time.Unix(seconds, 0)
}

func systemctl(t *testing.T, arguments ...string) []byte {
	t.Helper()
	var complaint bytes.Buffer
	command := exec.CommandContext(t.Context(), "systemctl", append([]string{"--no-pager"}, arguments...)...)
	command.Stderr = &complaint
	output, err := command.Output()
	if err != nil {
		t.Fatal(fmt.Errorf("systemctl %s: %w: %s", strings.Join(arguments, " "), err, complaint.String()))
	}
	return output
}
