package systemd

import (
	"strings"
	"testing"
	"time"

	"funlab.casa/attestation_exporter/failure"
	"funlab.casa/attestation_exporter/internal/tower/bus"
)

// TestReadAsksForWhatChanged counts the calls: all properties are asked for where a
// unit is new or its service has changed its state, and nothing that changed is
// missed for that.
func TestReadAsksForWhatChanged(t *testing.T) {
	b := startBus(t)
	begin := at("2026-11-24T12:00:00Z")
	run := func(minutes int, result string) bus.Service {
		end := begin.Add(time.Duration(minutes) * time.Minute)
		return bus.Service{Name: "a.service", Result: result, MainStart: begin, InactiveExit: begin, MainExit: end, InactiveEnter: end}
	}
	later := waitingTimer("a.timer")
	later.LastTrigger = begin
	b.Set(waitingTimer("a.timer"), run(1, "success"), waitingTimer(`b\x2d1.timer`), serviceOf(`b\x2d1.timer`))
	r := newReader(t, Options{Address: b.Address(), Include: ".*"})
	steps := []struct {
		name    string
		change  func()
		calls   int // beside the list of units
		want    string
		trigger time.Time
		exit    time.Time
		success bool
	}{
		{"at first, with the list of files", func() {}, 5, `a= b\x2d1=`, time.Time{}, begin.Add(time.Minute), true},
		{"nothing", func() {}, 4, `a= b\x2d1=`, time.Time{}, begin.Add(time.Minute), true},
		{"another run between two readings", func() { b.Set(run(2, "success")) }, 5, `a= b\x2d1=`, time.Time{}, begin.Add(2 * time.Minute), true},
		{"a run that failed, in the same states", func() { b.Set(run(3, "exit-code")) }, 5, `a= b\x2d1=`, time.Time{}, begin.Add(3 * time.Minute), false},
		{"the timer elapsed", func() { b.Set(later) }, 4, `a= b\x2d1=`, begin, begin.Add(3 * time.Minute), false},
		{"another service's file is gone", func() { b.Remove(`b\x2d1.service`) }, 5, `a= b\x2d1-`, begin, begin.Add(3 * time.Minute), false},
	}
	for _, step := range steps {
		step.change()
		before := b.Calls()
		reading := mustRead(t, r)
		if got := b.Calls() - before - 1; got != step.calls {
			t.Errorf("%s: got %d calls, want %d", step.name, got, step.calls)
		}
		if got := summary(reading); got != step.want {
			t.Errorf("%s: got %q, want %q", step.name, got, step.want)
		}
		timer := reading.Timers[0]
		if !timer.LastTrigger.Equal(step.trigger) || !timer.Service.LastExit.Equal(step.exit) || *timer.Service.Success != step.success {
			t.Errorf("%s: got trigger %v, exit %v, success %v, want %v, %v, %v", step.name,
				timer.LastTrigger, timer.Service.LastExit, *timer.Service.Success, step.trigger, step.exit, step.success)
		}
	}
}

// TestReadDoesNotBelieveTheList has a stand-in whose list gives states that no
// systemd has.
func TestReadDoesNotBelieveTheList(t *testing.T) {
	b := startBus(t)
	b.Set(waitingTimer("a.timer"), serviceOf("a.timer"))
	r := newReader(t, Options{Address: b.Address(), Include: ".*"})
	mustRead(t, r)
	if err := b.Override("a.timer", "Unit", "SubState", strings.Repeat("x", 1<<20)); err != nil {
		t.Fatal(err)
	}
	reading, err := read(t, r, soon)
	if len(reading.Timers) != 0 || failure.Of(err) != failure.Malformed {
		t.Errorf("got %v and error %v, want none and %s", reading.Timers, err, failure.Malformed)
	}
}

// TestReadUnreadableChange has a service whose last change of state can't be told:
// it is asked for everything, and fails if that doesn't tell either.
func TestReadUnreadableChange(t *testing.T) {
	b := startBus(t)
	b.Set(waitingTimer("a.timer"), serviceOf("a.timer"))
	r := newReader(t, Options{Address: b.Address(), Include: ".*"})
	mustRead(t, r)
	if err := b.Override("a.service", "Unit", "StateChangeTimestampMonotonic", "now"); err != nil {
		t.Fatal(err)
	}
	reading, err := read(t, r, soon)
	const message = "service a.service: property StateChangeTimestampMonotonic is string, not an unsigned 64-bit number"
	if err == nil || err.Error() != message {
		t.Errorf("got error %v, want %s", err, message)
	}
	if got, want := summary(reading), "a="; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
