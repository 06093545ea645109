package systemd

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"funlab.casa/attestation_exporter/failure"
)

// atOnce is how many questions are on their way at a time. dbus-daemon grants a
// connection 128 that are unanswered, on the system bus.
const atOnce = 16

// A round is one reading in progress.
//
// All of a unit is some 400 properties: decoding them cost more than everything
// else in a scrape, and systemd looks into the unit's control group to fill them
// in. So they are asked for only where a unit is new or has changed its state, and
// what is the same as before costs one short answer. Those questions go out all
// together, beside the one for the list that tells whether they were the right ones:
// a trip over the bus takes longer than an answer.
type round struct {
	*Reader
	conn    *connection
	now     Clock
	listed  map[string]states
	timed   map[string]answer[map[string]any] // timers that were seen
	changes map[string]answer[any]            // of services that are known, by timer
	errs    []error
	lost    bool // the connection is, and every further call would say so again
}

func (r *Reader) read(ctx context.Context, conn *connection) (Reading, error) {
	now, err := readClock()
	if err != nil {
		return Reading{}, err
	}
	o := round{Reader: r, conn: conn, now: now}
	names := o.askAll(ctx)
	maps.DeleteFunc(r.services, func(timer string, _ knownService) bool { return !slices.Contains(names, timer) })
	timers := o.timers(ctx, names)
	if !o.lost {
		o.addServices(ctx, timers)
	}
	var reading Reading
	for _, timer := range timers {
		reading.Timers = append(reading.Timers, timer.Timer)
	}
	return reading, errors.Join(o.errs...)
}

// askAll asks for what is known, and returns the names of all timers to read.
func (o *round) askAll(ctx context.Context) []string {
	var asking sync.WaitGroup
	asking.Go(func() {
		o.timed = ask(slices.Collect(maps.Keys(o.seen)), func(timer string) (map[string]any, error) {
			return o.conn.GetUnitTypePropertiesContext(ctx, timer, "Timer")
		})
	})
	asking.Go(func() {
		o.changes = ask(slices.Collect(maps.Keys(o.services)), func(timer string) (any, error) {
			property, err := o.conn.GetUnitPropertyContext(ctx, o.services[timer].Name, stateChange)
			if err != nil {
				return nil, err
			}
			return property.Value.Value(), nil
		})
	})
	var err error
	if o.listed, err = o.conn.loaded(ctx, o.services); err == nil {
		err = o.files.renew(ctx, o.conn, o.included, time.Now())
	}
	asking.Wait()
	if o.failed(ctx, err) {
		return nil
	}
	return o.names()
}

// failed keeps an error, and tells whether the connection is lost.
func (o *round) failed(ctx context.Context, err error) (lost bool) {
	o.errs = append(o.errs, err)
	o.lost = err != nil && (ctx.Err() != nil || !o.conn.Connected())
	return o.lost
}

// names returns the timers to read, sorted: those loaded now, those with a unit
// file, those that were seen earlier, and those expected. Beyond maxTimers it
// leaves out some that nobody expects.
func (o *round) names() []string {
	chosen := maps.Clone(o.seen)
	for name := range o.listed {
		if o.included(name) {
			chosen[name] = true
		}
	}
	for _, name := range o.files.names {
		chosen[name] = true
	}
	for _, name := range o.expected {
		delete(chosen, name)
	}
	names := slices.Sorted(maps.Keys(chosen))
	if room := maxTimers - len(o.expected); len(names) > room {
		o.errs = append(o.errs, failure.Errorf(failure.Malformed,
			"%d timers match, and no more than %d are read", len(names)+len(o.expected), maxTimers))
		names = names[:room]
	}
	names = append(names, o.expected...)
	slices.Sort(names)
	return slices.Compact(names)
}

// included tells whether a listed unit is one of the timers to read.
func (r *Reader) included(name string) bool {
	return r.include.MatchString(name) && validateName(name, "timer") == nil
}

// timers reads the timers of those names. It leaves out what couldn't be read, and
// what was only a possibility that turned out not to exist.
func (o *round) timers(ctx context.Context, names []string) []decodedTimer {
	var timers []decodedTimer
	for _, name := range names {
		timer, err := o.timer(ctx, name)
		if o.failed(ctx, err) {
			break
		}
		if err == nil && o.exists(timer) {
			timers = append(timers, timer)
		}
	}
	return timers
}

func (o *round) timer(ctx context.Context, name string) (decodedTimer, error) {
	got, asked := o.timed[name]
	if !asked || !o.steady(name) {
		got.value, got.err = o.conn.GetAllPropertiesContext(ctx, name)
	} else if got.err == nil {
		o.listed[name].addTo(got.value)
	}
	if got.err != nil {
		return decodedTimer{}, fmt.Errorf("timer %s: %w", name, cause(ctx, got.err))
	}
	return decodeTimer(name, got.value, o.now)
}

// steady tells whether a timer is in memory: its states then stand in the list.
func (o *round) steady(name string) bool {
	now := o.listed[name]
	return now.load == loaded && now.active != "" && now.sub != ""
}

// exists tells whether a timer is there, or should be, and remembers it.
func (o *round) exists(timer decodedTimer) bool {
	if timer.LoadState == "not-found" {
		return o.seen[timer.Name] || slices.Contains(o.expected, timer.Name)
	}
	if !timer.transient && len(o.seen) < maxTimers {
		o.seen[timer.Name] = true
	}
	return true
}

// addServices reads the services that the timers start.
func (o *round) addServices(ctx context.Context, timers []decodedTimer) {
	for i, timer := range timers {
		if validateName(timer.starts, "service") != nil {
			continue
		}
		service, err := o.service(ctx, timer)
		if o.failed(ctx, err) {
			return
		}
		timers[i].Service = service
	}
}

// service is the service of a timer, as it was known if it hasn't changed since.
func (o *round) service(ctx context.Context, timer decodedTimer) (*Service, error) {
	known := o.services[timer.Name]
	if known.Name == timer.starts && o.unchanged(timer.Name, known) {
		return &known.Service, nil
	}
	values, err := o.conn.GetAllPropertiesContext(ctx, timer.starts)
	if err != nil {
		return nil, fmt.Errorf("service %s: %w", timer.starts, cause(ctx, err))
	}
	fresh, err := decodeService(timer.starts, values)
	if err != nil {
		return nil, err
	}
	known = recall(fresh, known)
	o.services[timer.Name] = known
	return &known.Service, nil
}

// unchanged tells whether what is known of a service still stands. The list must
// agree, too: when a unit's file goes, that is no change of its state.
func (o *round) unchanged(timer string, known knownService) bool {
	changed, ok := o.changes[timer].value.(uint64)
	return ok && changed == known.changed && o.listed[known.Name] == known.states()
}

type answer[T any] struct {
	value T
	err   error
}

// ask puts a question about each of the names, some at once, and returns the answers
// when all are there.
func ask[T any](names []string, question func(string) (T, error)) map[string]answer[T] {
	var (
		mu      sync.Mutex
		all     sync.WaitGroup
		answers = map[string]answer[T]{}
		places  = make(chan struct{}, atOnce)
	)
	for _, name := range names {
		places <- struct{}{}
		all.Go(func() {
			value, err := question(name)
			mu.Lock()
			answers[name] = answer[T]{value, err}
			mu.Unlock()
			<-places
		})
	}
	all.Wait()
	return answers
}
