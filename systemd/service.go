package systemd

import (
	"fmt"
	"time"
)

// The values of a service's Result that say nothing bad: the run went well, or an
// ExecCondition= said that there was nothing to do (systemd.service(5)).
const (
	resultSuccess = "success"
	resultSkipped = "exec-condition"
)

// A Service is the service unit that a timer starts. All of it is lost at a
// reboot, when every service is again one that never ran.
type Service struct {
	Name        string
	LoadState   string // property LoadState
	ActiveState string // property ActiveState
	SubState    string // property SubState
	Result      string // property Result: success, exit-code, signal, timeout …

	// LastStart and LastExit are the beginning of the latest run and the end of
	// the latest finished one, zero where there was none. Each is the later of
	// what the main process did (ExecMainStartTimestamp, ExecMainExitTimestamp)
	// and what the unit did (InactiveExitTimestamp, InactiveEnterTimestamp):
	// while ExecStartPre= runs, the main process still is that of an earlier run,
	// and while a run lasts systemd has forgotten the end of the one before.
	LastStart time.Time
	LastExit  time.Time

	// Success tells whether the last finished run went well. It is nil where none
	// finished, and where systemd doesn't say: Result is "success" for a service
	// that never ran, and from the moment at which a new run begins.
	Success *bool
}

// Loaded tells whether the service has a unit file that systemd understands.
func (s Service) Loaded() bool { return s.LoadState == loaded }

// Running tells whether a run is in progress, its preparation and its clearing up
// included.
func (s Service) Running() bool { return running(s.ActiveState, s.SubState) }

// running knows the active states in which nothing runs all the same: a
// RemainAfterExit= service that has done its work, and one that waits for its
// next attempt.
func running(activeState, subState string) bool {
	switch activeState {
	case "active", "activating", "deactivating", "reloading", "refreshing":
	default:
		return false
	}
	switch subState {
	case "exited", "auto-restart", "auto-restart-queued":
		return false
	}
	return true
}

// outcome tells from the properties alone whether the last finished run went
// well, nil where they don't say. A Result other than success is final as soon as
// it stands there, even if the service is still being stopped or never came so
// far as to start a process.
func outcome(s Service) *bool {
	var success bool
	switch {
	case s.Result == resultSkipped:
		return nil
	case s.Result != resultSuccess:
		success = false
	case s.Running(), s.LastStart.IsZero():
		return nil
	default:
		success = true
	}
	return &success
}

// stateChange is the property that systemd sets anew whenever a unit enters a state,
// be it the same one: while it stands, so does what a service says of its runs.
const stateChange = "StateChangeTimestampMonotonic"

// A knownService is a service as it was read after its latest change of state, and
// what is remembered of its last finished run for as long as the next one lasts.
type knownService struct {
	Service
	changed  uint64
	finished finishedRun
}

func (k knownService) states() states { return states{k.LoadState, k.ActiveState, k.SubState} }

type finishedRun struct {
	exit    time.Time
	success bool
}

// recall fills in Success, from the properties or from an earlier reading of the
// same finished run. Two runs are the same if they ended at the same microsecond.
func recall(fresh, previous knownService) knownService {
	fresh.Success, fresh.finished = outcome(fresh.Service), previous.finished
	switch last := fresh.LastExit; {
	case fresh.Success != nil:
		fresh.finished = finishedRun{exit: last, success: *fresh.Success}
	case !last.IsZero() && last.Equal(previous.finished.exit):
		fresh.Success = &previous.finished.success
	}
	return fresh
}

// decodeService reads the properties of the interfaces Unit and Service.
func decodeService(name string, values map[string]any) (knownService, error) {
	p := properties{values: values}
	service := knownService{
		Service: Service{
			Name:        name,
			LoadState:   p.state("LoadState"),
			ActiveState: p.state("ActiveState"),
			SubState:    p.state("SubState"),
			Result:      p.state("Result"),
			LastStart:   later(p.moment("ExecMainStartTimestamp"), p.moment("InactiveExitTimestamp")),
			LastExit:    later(p.moment("ExecMainExitTimestamp"), p.moment("InactiveEnterTimestamp")),
		},
		changed: p.usec(stateChange),
	}
	if p.err != nil {
		return knownService{}, fmt.Errorf("service %s: %w", name, p.err)
	}
	return service, nil
}
