package systemd

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
)

// DefaultInclude matches the timers that keep a chain of trust alive in the
// reference deployment.
const DefaultInclude = `(cert-monitor|spire-trust-bundle-update|check-keylime-certs|renew-keylime-certs|` +
	`keylime-cert-renewal|keylime-gc|keylime-agent-recovery)\.timer`

// maxTimers bounds how many timers one reading asks for, at two calls each once
// they are known.
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
// it remembers which there were, and of each service what it said when it last
// changed its state.
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
	services map[string]knownService // by timer
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
		services: map[string]knownService{},
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
