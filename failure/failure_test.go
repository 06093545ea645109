package failure

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
)

func TestOf(t *testing.T) {
	tests := []struct {
		name string
		err  error
		want Reason
	}{
		{"deadline", fmt.Errorf("read: %w", context.DeadlineExceeded), Timeout},
		{"file deadline", &os.PathError{Op: "read", Path: "/dev/x", Err: os.ErrDeadlineExceeded}, Timeout},
		{"net timeout", &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}, Timeout},
		{"permission", &os.PathError{Op: "open", Path: "/dev/x", Err: syscall.EACCES}, Permission},
		{"socket permission", &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.EPERM)}, Permission},
		{"unknown authority", &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, TLS},
		{"alert from the peer", &net.OpError{Op: "remote error", Err: errors.New("tls: bad certificate")}, TLS},
		{"alert of our own", &net.OpError{Op: "local error", Err: errors.New("tls: protocol version not supported")}, TLS},
		{"alert of QUIC's", tls.AlertError(42), TLS},
		{"refused", &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}, Unreachable},
		{"absent", &os.PathError{Op: "open", Path: "/x", Err: syscall.ENOENT}, Unreachable},
		{"cut off", fmt.Errorf("read answer: %w", io.ErrUnexpectedEOF), Unreachable},
		{"busy", &os.PathError{Op: "open", Path: "/dev/tpm0", Err: syscall.EBUSY}, Unreachable},
		{"unknown", errors.New("surprise"), Internal},
		{"attached", fmt.Errorf("outer: %w", Wrap(Malformed, io.ErrUnexpectedEOF)), Malformed},
		{"outermost attached wins", Wrap(Auth, Wrap(Malformed, io.EOF)), Auth},
		{"joined", errors.Join(errors.New("first"), Errorf(Malformed, "second")), Malformed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := Of(tt.err); got != tt.want {
				t.Errorf("Of(%v): got %q, want %q", tt.err, got, tt.want)
			}
		})
	}
}

func TestWrapNil(t *testing.T) {
	if err := Wrap(Malformed, nil); err != nil {
		t.Errorf("Wrap of nil: got %v, want nil", err)
	}
}
