package systemd

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"time"

	"funlab.casa/attestation_exporter/failure"
)

// DefaultInclude matches the timers that keep a chain of trust alive in the
// reference deployment.
const DefaultInclude = `(cert-monitor|spire-trust-bundle-update|check-keylime-certs|renew-keylime-certs|` +
	`keylime-cert-renewal|keylime-gc|keylime-agent-recovery)\.timer`

// maxTimers bounds how many timers one reading asks for, at two calls each.
const maxTimers = 512

// booted is the folder that exists where systemd is the service manager.
const booted = "/run/systemd/system"

// ErrAbsent says that this host isn't run by systemd, and that nobody named a
// system bus in the environment either.
var ErrAbsent = errors.New("systemd is not the service manager here")

// Options say which timers to read, and from where.
type Options struct {
	// Address is the bus to ask, in D-Bus's form. Empty stands for
	// DBUS_SYSTEM_BUS_ADDRESS, or else the standard socket.
	Address string

	// Include is a regular expression that must match the whole name of a timer.
	// Empty stands for DefaultInclude. Timers that match are read if they are
	// loaded or have a unit file, whether it is enabled or not.
	Include string

	// Expected are names of timers that are read in any case, so that one which
	// is missing shows as not loaded. An instance, such as renew@web.timer, that
	// isn't running is found by this only: its file is the template's.
	Expected []string
}

// A Reader reads timers and keeps its connection between readings. Of the timers
// it remembers only which there were, and how the last finished run of a service
// ended for as long as the next one lasts.
type Reader struct {
	address  string
	booted   string
	include  *regexp.Regexp
	expected []string

	// turn is held by the one reading in progress. It guards what follows.
	turn     chan struct{}
	conn     *connection
	files    fileListing
	seen     map[string]bool
	finished map[string]finishedRun
}

// New makes a Reader, or says which of the options is wrong. It opens nothing.
func New(o Options) (*Reader, error) {
	if o.Include == "" {
		o.Include = DefaultInclude
	}
	include, err := regexp.Compile(`^(?:` + o.Include + `)$`)
	if err != nil {
		return nil, fmt.Errorf("timers to include: %w", err)
	}
	for _, name := range o.Expected {
		if err := validateName(name, "timer"); err != nil {
			return nil, fmt.Errorf("expected timer: %w", err)
		}
	}
	if o.Address != "" {
		if _, err := socketPaths(o.Address); err != nil {
			return nil, err
		}
	}
	if len(o.Expected) > maxTimers {
		return nil, fmt.Errorf("expected timers: %d are more than %d", len(o.Expected), maxTimers)
	}
	return &Reader{
		address:  o.Address,
		booted:   booted,
		include:  include,
		expected: slices.Clone(o.Expected),
		turn:     make(chan struct{}, 1),
		seen:     map[string]bool{},
		finished: map[string]finishedRun{},
	}, nil
}

// Close ends the connection, after a reading in progress. The Reader may be used
// again.
func (r *Reader) Close() {
	r.turn <- struct{}{}
	r.disconnect()
	<-r.turn
}

// Read asks for every chosen timer and for the service that it starts. It returns
// ErrAbsent where there is no systemd, and what it could read together with an
// error where something failed. It returns when ctx ends, whatever the bus does:
// the connection is given up then.
func (r *Reader) Read(ctx context.Context) (Reading, error) {
	select {
	case r.turn <- struct{}{}:
		defer func() { <-r.turn }()
	case <-ctx.Done():
		return Reading{}, fmt.Errorf("wait for another reading of the timers: %w", ctx.Err())
	}
	conn, err := r.connection(ctx)
	if err != nil {
		return Reading{}, err
	}
	reading, err := r.read(ctx, conn)
	if ctx.Err() != nil || !conn.Connected() {
		r.disconnect()
	}
	return reading, err
}

// connection returns the kept connection, or a new one.
func (r *Reader) connection(ctx context.Context) (*connection, error) {
	if r.conn != nil && r.conn.Connected() {
		r.conn.renew()
		return r.conn, nil
	}
	r.disconnect()
	address := r.address
	if address == "" {
		var promised bool
		if address, promised = systemBusAddress(r.booted); !promised {
			return nil, ErrAbsent
		}
	}
	paths, err := socketPaths(address)
	if err != nil {
		return nil, err
	}
	r.conn, err = connect(ctx, paths)
	return r.conn, err
}

func (r *Reader) disconnect() {
	if r.conn != nil {
		r.conn.close()
		r.conn = nil
	}
}

func (r *Reader) read(ctx context.Context, conn *connection) (Reading, error) {
	now, err := readClock()
	if err != nil {
		return Reading{}, err
	}
	// Once the connection is lost, every further call would say so again.
	lost := func(err error) bool {
		return err != nil && (ctx.Err() != nil || !conn.Connected())
	}
	var reading Reading
	names, err := r.names(ctx, conn)
	errs := []error{err}
	maps.DeleteFunc(r.finished, func(name string, _ finishedRun) bool { return !slices.Contains(names, name) })
	for _, name := range names {
		if lost(err) {
			break
		}
		var timer *Timer
		timer, err = r.timer(ctx, conn, name, now)
		errs = append(errs, err)
		if timer != nil {
			reading.Timers = append(reading.Timers, *timer)
		}
	}
	return reading, errors.Join(errs...)
}

// names returns the timers to read, sorted: those loaded now, those with a unit
// file, those that were seen earlier, and those expected. Beyond maxTimers it
// leaves out some that nobody expects, and returns an error beside the others.
func (r *Reader) names(ctx context.Context, conn *connection) ([]string, error) {
	listed, err := conn.loadedTimers(ctx, r.included)
	if err == nil {
		err = r.files.renew(ctx, conn, r.included, time.Now())
	}
	chosen := maps.Clone(r.seen)
	for _, name := range slices.Concat(listed, r.files.names) {
		chosen[name] = true
	}
	for _, name := range r.expected {
		delete(chosen, name)
	}
	names := slices.Sorted(maps.Keys(chosen))
	if room := maxTimers - len(r.expected); len(names) > room {
		err = errors.Join(err, failure.Errorf(failure.Malformed,
			"%d timers match, and no more than %d are read", len(names)+len(r.expected), maxTimers))
		names = names[:room]
	}
	names = append(names, r.expected...)
	slices.Sort(names)
	return slices.Compact(names), err
}

// included tells whether a listed unit is one of the timers to read.
func (r *Reader) included(name string) bool {
	return r.include.MatchString(name) && validateName(name, "timer") == nil
}

// timer reads one timer and its service. It returns no timer where it couldn't be
// read, and where it was only a possibility that turned out not to exist.
func (r *Reader) timer(ctx context.Context, conn *connection, name string, now Clock) (*Timer, error) {
	values, err := conn.GetAllPropertiesContext(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("timer %s: %w", name, cause(ctx, err))
	}
	timer, err := decodeTimer(name, values, now)
	if err != nil {
		return nil, err
	}
	if timer.LoadState == "not-found" {
		if !r.seen[name] && !slices.Contains(r.expected, name) {
			return nil, nil
		}
		return &timer.Timer, nil
	}
	if !timer.transient && len(r.seen) < maxTimers {
		r.seen[name] = true
	}
	if startsService := validateName(timer.starts, "service") == nil; !startsService {
		return &timer.Timer, nil
	}
	timer.Service, err = r.service(ctx, conn, name, timer.starts)
	return &timer.Timer, err
}

// service reads the service that a timer starts.
func (r *Reader) service(ctx context.Context, conn *connection, timer, name string) (*Service, error) {
	values, err := conn.GetAllPropertiesContext(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("service %s: %w", name, cause(ctx, err))
	}
	service, err := decodeService(name, values)
	if err != nil {
		return nil, err
	}
	service, r.finished[timer] = recall(service, r.finished[timer])
	return &service, nil
}
