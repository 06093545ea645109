package tpm

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"funlab.casa/attestation_exporter/failure"
)

// openDevice opens a TPM's character device, or the socket of an emulator that
// speaks bare TPM commands. It is opened for one reading and closed afterwards,
// since both kinds may serve one client at a time.
func openDevice(ctx context.Context, path string) (io.ReadWriteCloser, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	switch mode := info.Mode(); {
	case mode&fs.ModeSocket != 0:
		return dial(ctx, path)
	case mode&fs.ModeCharDevice != 0:
		return openBlocking(path)
	}
	return nil, failure.Errorf(failure.Unreachable, "%s is neither a character device nor a socket", path)
}

// openBlocking keeps the device out of Go's poller. The kernel's poll on a TPM
// waits for the command in progress, so that a wedged chip would stop the one
// thread that all sockets of this process wait on. The price is that a read can't
// be cancelled.
func openBlocking(path string) (io.ReadWriteCloser, error) {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// A socket is a connection whose reads and writes end when its context does.
type socket struct {
	net.Conn
	release func() bool
}

func dial(ctx context.Context, path string) (io.ReadWriteCloser, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	release := context.AfterFunc(ctx, func() {
		_ = conn.SetDeadline(time.Unix(1, 0)) // Fails on a closed connection only.
	})
	return &socket{Conn: conn, release: release}, nil
}

func (s *socket) Close() error {
	s.release()
	return s.Conn.Close()
}

// isBusy tells whether the device is there and serves somebody else: /dev/tpm0
// has one opener at a time, and a listening socket a short queue.
func isBusy(err error) bool {
	return errors.Is(err, syscall.EBUSY) || errors.Is(err, syscall.EAGAIN)
}

const (
	headerSize = 10 // tag, size, code
	// maxResponse is the kernel's TPM_BUFSIZE; PC Client TPMs answer with no more.
	maxResponse = 4096
)

// exchange sends a command and returns the one response that follows.
func exchange(link io.ReadWriter, command []byte) ([]byte, error) {
	if _, err := link.Write(command); err != nil {
		return nil, err
	}
	// A device hands over a response in one read; the rest of one that it cut off
	// would be lost. So the buffer is large from the start.
	response := make([]byte, maxResponse)
	n, err := io.ReadAtLeast(link, response, headerSize)
	if err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(response[2:])
	if size < headerSize || size > maxResponse || int(size) < n {
		return nil, failure.Errorf(failure.Malformed, "response of %d bytes or more claims to have %d", n, size)
	}
	if _, err := io.ReadFull(link, response[n:size]); err != nil {
		return nil, fmt.Errorf("response of %d bytes ends early: %w", size, err)
	}
	return response[:size], nil
}

// checkHeader refuses what go-tpm doesn't look at: the tag, and an answer without
// parameters, which it takes for one full of zeros. Every command of this package
// is answered with at least two bytes of them.
func checkHeader(command, response []byte) error {
	if responseCode(response) != 0 {
		return nil
	}
	if got, want := binary.BigEndian.Uint16(response), binary.BigEndian.Uint16(command); got != want {
		return failure.Errorf(failure.Malformed, "response has tag 0x%04x, want 0x%04x", got, want)
	}
	if len(response) < headerSize+2 {
		return failure.Errorf(failure.Malformed, "response has no parameters")
	}
	return nil
}

func responseCode(response []byte) uint32 { return binary.BigEndian.Uint32(response[6:]) }
