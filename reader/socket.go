package reader

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"github.com/coreos/go-systemd/v22/activation"
	"golang.org/x/sys/unix"
)

// Listen returns the socket that systemd hands over, or else makes one at path
// that only this user and group can reach.
func Listen(path string) (*net.UnixListener, error) {
	handed, err := activation.Listeners()
	if err != nil {
		return nil, fmt.Errorf("take systemd's socket: %w", err)
	}
	if len(handed) > 0 {
		listener, ok := handed[0].(*net.UnixListener)
		if len(handed) != 1 || !ok {
			return nil, errors.New("systemd handed over something else than one Unix stream socket")
		}
		listener.SetUnlinkOnClose(false) // it is the unit's
		return listener, nil
	}
	if err := removeStale(path); err != nil {
		return nil, err
	}
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o660); err != nil { //nolint:gosec // the group is the exporter's
		return nil, errors.Join(err, listener.Close())
	}
	return listener, nil
}

// removeStale takes away a socket that nobody listens on.
func removeStale(path string) error {
	conn, err := net.Dial("unix", path) //nolint:noctx // a local socket connects or fails at once
	switch {
	case err == nil:
		return errors.Join(fmt.Errorf("%s: a reader is already listening", path), conn.Close())
	case errors.Is(err, syscall.ECONNREFUSED):
		return os.Remove(path)
	}
	return nil
}

// peerUID returns the user whom the kernel saw connecting (SO_PEERCRED in
// unix(7)).
func peerUID(conn *net.UnixConn) (uint32, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var (
		credentials *unix.Ucred
		optionErr   error
	)
	err = raw.Control(func(fd uintptr) {
		credentials, optionErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err := errors.Join(err, optionErr); err != nil {
		return 0, fmt.Errorf("ask who is calling: %w", err)
	}
	return credentials.Uid, nil
}
