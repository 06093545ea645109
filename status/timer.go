package status

// What timer_overdue_seconds and timer_service_stuck_seconds of the rules are.
const (
	overdueSeconds = 600
	stuckSeconds   = 3600
)

// A timer is what is known of one, and of the service that it starts.
type timer struct {
	name, service            string
	loaded, active           bool
	next, delay, start, exit *float64
	running                  bool
	result                   *float64
}

// timers keep everything else alive.
func (v view) timers() []Row {
	var rows []Row
	for _, loaded := range v.samples["attestation_timer_loaded"] {
		rows = append(rows, v.timer(v.timerOf(loaded.label("timer"), loaded.value == 1))...)
	}
	return rows
}

func (v view) timerOf(name string, loaded bool) timer {
	optional := func(metric string) *float64 {
		if value, ok := v.samples.value(metric, "timer", name); ok {
			return &value
		}
		return nil
	}
	t := timer{
		name: name, loaded: loaded,
		active:  !v.samples.is(0, "attestation_timer_active", "timer", name),
		running: v.samples.is(1, "attestation_timer_service_running", "timer", name),
		next:    optional("attestation_timer_next_trigger_timestamp_seconds"),
		delay:   optional("attestation_timer_delay_max_seconds"),
		start:   optional("attestation_timer_service_last_start_timestamp_seconds"),
		exit:    optional("attestation_timer_service_last_exit_timestamp_seconds"),
		result:  optional("attestation_timer_service_result_success"),
	}
	for _, one := range v.samples.only("attestation_timer_service_running", "timer", name) {
		t.service = one.label("service")
	}
	return t
}

func (v view) timer(t timer) []Row {
	var rows []Row
	wrong := func(a alert, format string, args ...any) {
		rows = append(rows, v.wrong(a, Timer, t.name, format, args...))
	}
	switch {
	case !t.loaded:
		wrong(timerNotRunning, "isn't there: the unit file is missing, masked or wrong")
	case !t.active:
		wrong(timerNotRunning, "isn't started")
	case t.next == nil && !t.running:
		wrong(timerNotRunning, "is started, and nothing is planned")
	case t.next != nil && !t.running && v.now-t.latest() > overdueSeconds:
		wrong(timerOverdue, "should have run %s ago", span(v.now-*t.next))
	}
	if t.result != nil && *t.result == 0 {
		wrong(timerServiceFailed, "the last run of %s failed%s", t.service, v.ago(t.exit))
	}
	if t.running && t.start != nil && v.now-*t.start > stuckSeconds {
		wrong(timerServiceStuck, "%s has been running for %s", t.service, span(v.now-*t.start))
	}
	if len(rows) > 0 {
		for i := range rows {
			rows[i].NextRun = t.next
		}
		return rows
	}
	row := v.fine(Timer, t.name, "%s", v.planned(t))
	row.NextRun = t.next
	return []Row{row}
}

// latest is when the timer must have elapsed.
func (t timer) latest() float64 {
	if t.delay == nil {
		return *t.next
	}
	return *t.next + *t.delay
}

func (v view) planned(t timer) string {
	text := "nothing planned"
	switch {
	case t.running:
		text = "its service runs now"
	case t.next != nil && *t.next >= v.now:
		text = "next in " + span(*t.next-v.now)
	case t.next != nil:
		text = "next any moment"
	}
	if t.result != nil {
		text += "; last went well" + v.ago(t.exit)
	}
	return text
}

func (v view) ago(moment *float64) string {
	if moment == nil || *moment > v.now {
		return ""
	}
	return " " + span(v.now-*moment) + " ago"
}
