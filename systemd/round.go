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
// what is the same as before costs one short answer.
type round struct {
	*Reader
	conn   *connection
	now    Clock
	listed map[string]states
	errs   []error
}

func (r *Reader) read(ctx context.Context, conn *connection) (Reading, error) {
	now, err := readClock()
	if err != nil {
		return Reading{}, err
	}
	o := round{Reader: r, conn: conn, now: now}
	names := o.names(ctx)
	maps.DeleteFunc(r.services, func(timer string, _ knownService) bool { return !slices.Contains(names, timer) })
	timers := o.timers(ctx, names)
	o.addServices(ctx, timers)
	var reading Reading
	for _, timer := range timers {
		reading.Timers = append(reading.Timers, timer.Timer)
	}
	return reading, errors.Join(o.errs...)
}

// failed keeps an error, and tells whether the connection is lost: every further
// call would say so again.
func (o *round) failed(ctx context.Context, err error) (lost bool) {
	o.errs = append(o.errs, err)
	return err != nil && (ctx.Err() != nil || !o.conn.Connected())
}

// names returns the timers to read, sorted: those loaded now, those with a unit
// file, those that were seen earlier, and those expected. Beyond maxTimers it
// leaves out some that nobody expects. It returns none where the connection is
// lost.
func (o *round) names(ctx context.Context) []string {
	var err error
	if o.listed, err = o.conn.loaded(ctx, o.services); err == nil {
		err = o.files.renew(ctx, o.conn, o.included, time.Now())
	}
	if o.failed(ctx, err) {
		return nil
	}
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
	answers := ask(names, o.steady, func(name string) (map[string]any, error) {
		return o.conn.GetUnitTypePropertiesContext(ctx, name, "Timer")
	})
	var timers []decodedTimer
	for _, name := range names {
		got, asked := answers[name]
		if asked && got.err == nil {
			o.listed[name].addTo(got.value)
		} else if !asked {
			got.value, got.err = o.conn.GetAllPropertiesContext(ctx, name)
		}
		timer, err := decodedTimer{}, cause(ctx, got.err)
		if err != nil {
			err = fmt.Errorf("timer %s: %w", name, err)
		} else {
			timer, err = decodeTimer(name, got.value, o.now)
		}
		if o.failed(ctx, err) {
			break
		}
		if err == nil && o.exists(timer) {
			timers = append(timers, timer)
		}
	}
	return timers
}

// steady tells whether a timer was read before and is in memory. Its states then
// stand in the list.
func (o *round) steady(name string) bool {
	now, listed := o.listed[name]
	return o.seen[name] && listed && now.load == loaded && now.active != "" && now.sub != ""
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
	var names []string // of timers
	starts := map[string]string{}
	for _, timer := range timers {
		if validateName(timer.starts, "service") == nil {
			names, starts[timer.Name] = append(names, timer.Name), timer.starts
		}
	}
	// What the list says must be what was known, too: systemd drops a service
	// whose file is gone, and that is no change of its state.
	same := func(timer string) bool {
		known, ok := o.services[timer]
		return ok && known.Name == starts[timer] && o.listed[known.Name] == known.states()
	}
	changes := ask(names, same, func(timer string) (any, error) {
		property, err := o.conn.GetUnitPropertyContext(ctx, starts[timer], stateChange)
		if err != nil {
			return nil, err
		}
		return property.Value.Value(), nil
	})
	for i, timer := range timers {
		if starts[timer.Name] == "" {
			continue
		}
		service, err := o.service(ctx, timer, changes[timer.Name])
		if o.failed(ctx, err) {
			return
		}
		timers[i].Service = service
	}
}

// service is the service of a timer, as it was known if it hasn't changed since.
func (o *round) service(ctx context.Context, timer decodedTimer, change answer[any]) (*Service, error) {
	values, err := map[string]any(nil), change.err
	known := o.services[timer.Name]
	if changed, ok := change.value.(uint64); ok && changed == known.changed {
		return &known.Service, nil
	}
	if err == nil {
		values, err = o.conn.GetAllPropertiesContext(ctx, timer.starts)
	}
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

type answer[T any] struct {
	value T
	err   error
}

// ask puts a question about each of the names that are wanted, some at once, and
// returns the answers when all are there.
func ask[T any](names []string, wanted func(string) bool, question func(string) (T, error)) map[string]answer[T] {
	var (
		mu      sync.Mutex
		all     sync.WaitGroup
		answers = map[string]answer[T]{}
		places  = make(chan struct{}, atOnce)
	)
	for _, name := range names {
		if !wanted(name) {
			continue
		}
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
