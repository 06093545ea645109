// Package systemd reads timers and the services that they start from the service
// manager, over the system bus.
//
// It reads, and never asks for a change. It does not know which timers matter for
// what, nor when one is late: it turns systemd's several clocks into moments on
// the wall and leaves the judgement to whoever watches. The interfaces are those
// of org.freedesktop.systemd1(5).
package systemd

import (
	"fmt"
	"time"
)

// A Reading is what systemd said of the chosen timers, sorted by name.
type Reading struct {
	Timers []Timer
}

// loaded is the LoadState of a unit whose file was found and understood. The
// others are stub, not-found, bad-setting, error, merged and masked.
const loaded = "loaded"

// A Timer is one timer unit. Where it isn't loaded only its states are known.
type Timer struct {
	Name        string // as it was asked for, which may be an alias
	LoadState   string // property LoadState
	ActiveState string // property ActiveState
	SubState    string // property SubState: waiting, running, elapsed, dead, failed

	// LastTrigger is when the timer last elapsed, zero if it never did. It is
	// LastTriggerUSec, which survives reboots for a Persistent= timer and is
	// then set from the first activation on, although nothing may have run yet
	// (systemd.timer(5): the stamp file is written with the time of that moment).
	LastTrigger time.Time

	// NextTrigger is when it elapses next, the random delay that systemd drew
	// included. It is zero where nothing is planned, which is so for a timer that
	// has elapsed for good and also for as long as its service runs.
	NextTrigger time.Time

	// DelayMax is how long after NextTrigger the timer may rightly elapse:
	// RandomizedDelayUSec and AccuracyUSec. It is nil where one is infinite.
	DelayMax *time.Duration

	// Service is what the timer starts, nil where that isn't a service, the timer
	// isn't loaded, or the service couldn't be read.
	Service *Service
}

// Loaded tells whether the timer has a unit file that systemd understands.
func (t Timer) Loaded() bool { return t.LoadState == loaded }

// Active tells whether the timer is started and can do its work. systemd refuses
// to start a timer whose service it can't load. One whose service went away later
// stays active until it elapses, and then fails: it counts as not active at once,
// because no other state of the timer shows it.
func (t Timer) Active() bool {
	return t.ActiveState == "active" && (t.Service == nil || t.Service.Loaded())
}

// decodedTimer is a timer and what the reader must know besides.
type decodedTimer struct {
	Timer
	starts    string // the unit that it starts
	transient bool   // made by systemd-run: it goes when it has done its work
}

// decodeTimer reads the properties of the interface Timer, and of Unit those that
// states have.
func decodeTimer(name string, values map[string]any, now Clock) (decodedTimer, error) {
	p := properties{values: values}
	timer := decodedTimer{
		Timer: Timer{
			Name:        name,
			LoadState:   p.state("LoadState"),
			ActiveState: p.state("ActiveState"),
			SubState:    p.state("SubState"),
		},
		transient: p.flag("Transient"),
	}
	if timer.Loaded() {
		timer.starts = p.text("Unit", maxNameLength)
		timer.LastTrigger = p.moment("LastTriggerUSec")
		timer.NextTrigger = earlier(
			p.moment("NextElapseUSecRealtime"),
			fromMonotonic(p.usec("NextElapseUSecMonotonic"), now))
		timer.DelayMax = span(p.usec("RandomizedDelayUSec"), p.usec("AccuracyUSec"))
	}
	if p.err != nil {
		return decodedTimer{}, fmt.Errorf("timer %s: %w", name, p.err)
	}
	return timer, nil
}
