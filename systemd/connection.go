package systemd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	manager "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"

	"funlab.casa/attestation_exporter/failure"
)

// A connection is go-systemd's connection, which is two of D-Bus's own (it keeps
// one for signals), and the sockets beneath. The libraries' calls end with their
// context; the handshake knows none, and ends only when its socket is closed.
type connection struct {
	*manager.Conn
	sockets []*socket
}

// deaf is a handler of signals that wants none. go-systemd listens for finished
// jobs in a goroutine of each connection, which ends when its channel is closed;
// should the connection be lost before it asks for signals, nobody else does that.
type deaf struct{}

func (deaf) DeliverSignal(string, string, *dbus.Signal) {}
func (deaf) AddSignal(signals chan<- *dbus.Signal)      { close(signals) }
func (deaf) RemoveSignal(chan<- *dbus.Signal)           {}

// connect opens a connection to the bus and introduces itself. It ends with ctx,
// but the connection that it returns doesn't.
func connect(ctx context.Context, paths []string) (*connection, error) {
	c := &connection{}
	var stops []func() bool
	var err error
	c.Conn, err = manager.NewConnection(func() (*dbus.Conn, error) {
		s, err := dial(ctx, paths)
		if err != nil {
			return nil, err
		}
		c.sockets = append(c.sockets, s)
		stops = append(stops, context.AfterFunc(ctx, func() { _ = s.Close() }))
		return introduce(s)
	})
	for _, stop := range stops {
		if !stop() && err == nil {
			err = ctx.Err()
		}
	}
	if err != nil {
		c.close()
		return nil, fmt.Errorf("connect to the system bus: %w", cause(ctx, err))
	}
	return c, nil
}

// dial returns the first of the sockets that answers.
func dial(ctx context.Context, paths []string) (*socket, error) {
	var errs []error
	for _, path := range paths {
		conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
		if err == nil {
			return newSocket(conn), nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// introduce authenticates by the uid that the kernel vouches for and says hello.
func introduce(s *socket) (*dbus.Conn, error) {
	conn, err := dbus.NewConn(s, dbus.WithSignalHandler(deaf{}))
	if err != nil {
		return nil, err
	}
	if err := greet(conn); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

func greet(conn *dbus.Conn) error {
	err := conn.Auth([]dbus.Auth{dbus.AuthExternal(strconv.Itoa(os.Getuid()))})
	if err != nil && failure.Of(err) == failure.Internal {
		err = failure.Wrap(failure.Auth, err) // Not the socket's fault, so it was the answer.
	}
	if err != nil {
		return fmt.Errorf("authenticate: %w", err)
	}
	return conn.Hello()
}

// renew gives the connection its full allowance again.
func (c *connection) renew() {
	for _, s := range c.sockets {
		s.renew()
	}
}

// close ends the connection and every wait in it.
func (c *connection) close() {
	for _, s := range c.sockets {
		_ = s.Close()
	}
	if c.Conn != nil {
		c.Conn.Close() //nolint:staticcheck // c.close and c.Close are too easily taken for each other.
	}
}

// cause gives an error of a call its reason. It shortens what the other side says,
// and replaces the echo of a connection that was closed because ctx had ended.
func cause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var reply dbus.Error
	if errors.As(err, &reply) {
		return failure.Errorf(replyReason(reply.Name), "%.100s: %.200s", reply.Name, reply.Error())
	}
	if errors.Is(err, dbus.ErrClosed) {
		return failure.Wrap(failure.Unreachable, err)
	}
	// What the system says of the socket is known to package failure. The rest are
	// the libraries' own words for an answer that they can't make sense of.
	if failure.Of(err) == failure.Internal {
		return failure.Wrap(failure.Malformed, err)
	}
	return err
}

// replyReason sorts the error names of the D-Bus Specification and of dbus-daemon.
func replyReason(name string) failure.Reason {
	short, _ := strings.CutPrefix(name, "org.freedesktop.DBus.Error.")
	switch short {
	case "ServiceUnknown", "NameHasNoOwner", "NoReply", "Disconnected":
		return failure.Unreachable
	case "Timeout", "TimedOut":
		return failure.Timeout
	case "AccessDenied", "AuthFailed", "InteractiveAuthorizationRequired":
		return failure.Permission
	case "UnknownMethod", "UnknownObject", "UnknownInterface", "UnknownProperty", "InvalidArgs":
		return failure.Malformed
	}
	if strings.HasPrefix(short, "Spawn.") {
		return failure.Unreachable // Nobody owns the name, and starting the owner failed.
	}
	return failure.Internal
}
