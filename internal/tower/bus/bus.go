// Package bus stands in for systemd on a D-Bus of its own.
//
// The daemon is the real dbus-daemon with a private configuration and socket; who
// owns org.freedesktop.systemd1 on it is this package, with units that the caller
// sets and changes at will. It speaks the part of org.freedesktop.systemd1(5) that
// tells about timers and services. It starts nothing, keeps no time and knows no
// dependencies: a timer that is due stays due until somebody sets it anew.
package bus

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/godbus/dbus/v5"

	"funlab.casa/attestation_exporter/internal/tower/child"
)

const (
	busName     = "org.freedesktop.systemd1"
	managerPath = "/org/freedesktop/systemd1"
	unitPath    = managerPath + "/unit"
)

// configuration lets everybody who may open the socket talk to everybody, and
// systemd's name be owned. The folder around the socket is what keeps others out.
const configuration = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
  "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <listen>unix:path=%s</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow send_destination="*"/>
    <allow receive_sender="*"/>
    <allow own="` + busName + `"/>
  </policy>
</busconfig>
`

// maxSocketPath is what a Unix socket's address has room for, less a zero byte.
const maxSocketPath = 107

// startWithin bounds the wait for the daemon's first answers.
const startWithin = 10 * time.Second

// stopWithin is how long the daemon has between being told to stop and being
// killed.
const stopWithin = 2 * time.Second

// A Bus is a running daemon and the stand-in on it.
type Bus struct {
	address string
	stop    context.CancelFunc
	exited  <-chan struct{} // closed when the daemon has gone
	conn    *dbus.Conn

	mu      sync.Mutex
	units   map[string]unit
	changes uint64 // of units, one after the other
	gate    *gate  // not nil while calls hang
	calls   int
}

// Start runs a daemon that listens in dir, which must exist and is best open to
// its owner only. It lives until Close, or until ctx ends.
func Start(ctx context.Context, dir string) (*Bus, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("start a D-Bus daemon: %w", err)
	}
	socket := filepath.Join(dir, "bus")
	if len(socket) > maxSocketPath {
		return nil, fmt.Errorf("start a D-Bus daemon: socket %s is longer than %d bytes: take a shorter folder",
			socket, maxSocketPath)
	}
	config := filepath.Join(dir, "bus.conf")
	// The address is escaped as in a URL, and that leaves nothing for XML to mind.
	escaped := strings.ReplaceAll(url.PathEscape(socket), "%2F", "/")
	if err := os.WriteFile(config, fmt.Appendf(nil, configuration, escaped), 0o600); err != nil {
		return nil, fmt.Errorf("start a D-Bus daemon: %w", err)
	}
	b := &Bus{units: map[string]unit{}}
	if err := b.runDaemon(ctx, config); err != nil {
		return nil, fmt.Errorf("start a D-Bus daemon: %w", err)
	}
	if err := b.serve(ctx); err != nil {
		b.Close()
		return nil, fmt.Errorf("stand in for systemd: %w", err)
	}
	return b, nil
}

// runDaemon starts dbus-daemon and waits for the address that it prints once it
// listens.
func (b *Bus) runDaemon(ctx context.Context, config string) error {
	ctx, b.stop = context.WithCancel(ctx)
	daemon := exec.CommandContext(ctx, "dbus-daemon", "--nofork", "--nopidfile", "--nosyslog",
		"--print-address=1", "--config-file="+config)
	daemon.Cancel = func() error { return daemon.Process.Signal(syscall.SIGTERM) }
	daemon.WaitDelay = stopWithin
	var complaint strings.Builder
	daemon.Stderr = &complaint
	stdout, err := daemon.StdoutPipe()
	var process *child.Process
	if err == nil {
		process, err = child.Start(daemon)
	}
	if err != nil {
		b.stop()
		if errors.Is(err, exec.ErrNotFound) {
			return fmt.Errorf("%w (install it with `make tools`)", err)
		}
		return err
	}
	b.exited = process.Done()
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		b.Close()
		return fmt.Errorf("it ended before it listened: %s", strings.TrimSpace(complaint.String()))
	}
	b.address = strings.TrimSpace(line)
	return nil
}

// serve takes systemd's name and answers under it. A daemon that doesn't play its
// part is stopped, which ends every wait for it.
func (b *Bus) serve(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	defer context.AfterFunc(ctx, b.stop)()
	conn, err := dbus.Connect(b.address)
	if err != nil {
		return err
	}
	b.conn = conn
	if err := b.export(); err != nil {
		return err
	}
	reply, err := conn.RequestName(busName, dbus.NameFlagDoNotQueue)
	if err != nil {
		return err
	}
	if reply != dbus.RequestNameReplyPrimaryOwner {
		return fmt.Errorf("name %s has an owner already", busName)
	}
	return ctx.Err()
}

// Address returns the address of the bus, as DBUS_SYSTEM_BUS_ADDRESS has it.
func (b *Bus) Address() string { return b.address }

// Close lets calls that hang go on, and stops the daemon. It returns when the
// daemon has gone.
func (b *Bus) Close() {
	b.Resume()
	if b.conn != nil {
		_ = b.conn.Close()
	}
	b.stop()
	<-b.exited
}
