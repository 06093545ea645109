package fleet

import "time"

// accuracy is systemd's default: how much later than planned a timer may elapse.
const accuracy = time.Minute

// A Timer is a systemd timer with its service.
type Timer struct {
	Name, service string
	// Stopped is a timer that nobody started again, Failing one whose service
	// ends badly. A Stuck service never ends.
	Stopped, Failing, Stuck, Hung bool

	// calendar is the next moment of OnCalendar after another; without one the
	// timer goes by OnBootSec and OnUnitActiveSec.
	calendar   func(time.Time) time.Time
	onBoot     time.Duration
	period     time.Duration
	delay      time.Duration
	persistent bool
	atMost     time.Duration
	job        func(at time.Time)

	next, trigger time.Time
	start, exit   time.Time
	running       bool
	// Of the last run of this boot: whether there was one, and how it ended.
	ran, good bool
	// How much later than planned it will elapse, within systemd's accuracy.
	slack time.Duration
}

// daily is OnCalendar at an hour and minute of the day in the host's time zone,
// and every so many hours from there.
func (f *Fleet) daily(hour, minute, every int) func(time.Time) time.Time {
	return func(after time.Time) time.Time {
		local := after.In(f.zone)
		for day := range 3 {
			for h := hour; h < 24; h += every {
				at := time.Date(local.Year(), local.Month(), local.Day()+day, h, minute, 0, 0, f.zone)
				if at.After(after) {
					return at
				}
			}
		}
		return after.Add(24 * time.Hour)
	}
}

// plan sets the next trigger, after a moment at which the timer elapsed.
func (t *Timer) plan(f *Fleet, elapsed time.Time) {
	if t.calendar != nil {
		t.next = t.calendar(elapsed).Add(f.between(0, t.delay))
	} else {
		t.next = elapsed.Add(t.period)
	}
	t.slack = f.between(0, accuracy)
}

// boot forgets what systemd forgets with a boot, and catches up on what was missed.
func (t *Timer) boot(f *Fleet, at time.Time) {
	t.start, t.exit, t.ran, t.running = time.Time{}, time.Time{}, false, false
	missed := t.next.Before(at)
	if !t.persistent {
		t.trigger = time.Time{}
	}
	switch {
	case t.calendar == nil:
		t.next = at.Add(t.onBoot)
	case t.persistent && missed:
		t.next = at.Add(f.between(0, t.delay))
	default:
		t.plan(f, at)
	}
	t.slack = f.between(0, accuracy)
}

// Elapse lets the timer elapse at once, as an operator does who starts its service.
func (t *Timer) Elapse(at time.Time) { t.next, t.slack = at, 0 }

func (t *Timer) step(f *Fleet, now time.Time) {
	if t.running && !t.Stuck && !t.exit.After(now) {
		t.finish(f)
	}
	for !t.Stopped && !t.Hung && !t.running && !t.next.Add(t.slack).After(now) {
		t.start = t.next.Add(t.slack)
		t.trigger = t.start
		t.exit = t.start.Add(f.between(time.Second, t.atMost))
		t.running = true
		if t.Stuck || t.exit.After(now) {
			return
		}
		t.finish(f)
	}
}

func (t *Timer) finish(f *Fleet) {
	if t.exit.Before(t.start) {
		t.exit = t.start
	}
	t.running, t.ran, t.good = false, true, !t.Failing
	if t.good && t.job != nil {
		t.job(t.exit)
	}
	t.plan(f, t.start)
}

// Next is when the timer must have elapsed, its own delay granted.
func (t *Timer) Next() time.Time { return t.next.Add(t.delay + accuracy) }

// Began is when the run that is going on did.
func (t *Timer) Began() time.Time { return t.start }

func (t *Timer) expose(h *Host, to Exposition) {
	to.Set(1, "attestation_timer_loaded", "timer", t.Name)
	to.Set(truth(!t.Stopped), "attestation_timer_active", "timer", t.Name)
	to.Set((t.delay + accuracy).Seconds(), "attestation_timer_delay_max_seconds", "timer", t.Name)
	if !t.trigger.IsZero() {
		to.Set(h.stamp(t.trigger), "attestation_timer_last_trigger_timestamp_seconds", "timer", t.Name)
	}
	if !t.running && !t.Stopped {
		to.Set(h.stamp(t.next), "attestation_timer_next_trigger_timestamp_seconds", "timer", t.Name)
	}
	to.Set(truth(t.running), "attestation_timer_service_running", "timer", t.Name, "service", t.service)
	if !t.start.IsZero() {
		to.Set(h.stamp(t.start), "attestation_timer_service_last_start_timestamp_seconds", "timer", t.Name, "service", t.service)
	}
	if t.ran {
		to.Set(truth(t.good), "attestation_timer_service_result_success", "timer", t.Name, "service", t.service)
		if !t.running {
			to.Set(h.stamp(t.exit), "attestation_timer_service_last_exit_timestamp_seconds", "timer", t.Name, "service", t.service)
		}
	}
}
