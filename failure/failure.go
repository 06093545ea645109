// Package failure names the ways in which a reading can fail.
//
// The names are a closed set, because they become the values of a label. Sources
// attach one where they know better than the error itself (Wrap), and Of works it
// out from the standard library's errors everywhere else. The package does not
// know what was being read.
package failure

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"runtime/debug"
	"syscall"
)

// A Reason says in one word why a reading failed.
type Reason string

// The reasons, from the one that the network is guilty of to the one that this
// program is.
const (
	Timeout     Reason = "timeout"     // no answer within the deadline
	Unreachable Reason = "unreachable" // nothing is there, or it went away
	Permission  Reason = "permission"  // the operating system refused
	TLS         Reason = "tls"         // the handshake or the verification failed
	Auth        Reason = "auth"        // the peer knows the caller and refused
	Malformed   Reason = "malformed"   // the answer isn't what it should be
	Internal    Reason = "internal"    // anything else: a fault of this program until proven otherwise
)

// Reasons returns all reasons, for series that must exist before they are needed.
func Reasons() []Reason {
	return []Reason{Timeout, Unreachable, Permission, TLS, Auth, Malformed, Internal}
}

type reasoned struct {
	reason Reason
	err    error
}

func (e *reasoned) Error() string { return e.err.Error() }
func (e *reasoned) Unwrap() error { return e.err }

// Wrap gives err a reason that wins over what Of would find in it. A nil err
// stays nil.
func Wrap(reason Reason, err error) error {
	if err == nil {
		return nil
	}
	return &reasoned{reason: reason, err: err}
}

// Errorf is fmt.Errorf with a reason.
func Errorf(reason Reason, format string, args ...any) error {
	return &reasoned{reason: reason, err: fmt.Errorf(format, args...)}
}

// Panicked is the error of a reading that panicked with p; its reason is Internal. It is
// called by the deferred function that recovered, so that the stack is the panic's.
func Panicked(p any) error {
	return Errorf(Internal, "panic: %v\n%s", p, debug.Stack())
}

// Of returns the reason of a non-nil err: the outermost one attached by Wrap or
// Errorf, else the one that the standard library's errors tell. Of several joined
// errors the first with an attached reason decides.
func Of(err error) Reason {
	var r *reasoned
	if errors.As(err, &r) {
		return r.reason
	}
	var timeout interface{ Timeout() bool }
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled),
		errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return Timeout
	case errors.Is(err, fs.ErrPermission):
		return Permission
	case isTLS(err):
		return TLS
	case isUnreachable(err):
		return Unreachable
	}
	return Internal
}

func isTLS(err error) bool {
	var (
		verification *tls.CertificateVerificationError
		header       tls.RecordHeaderError
		alert        tls.AlertError
		authority    x509.UnknownAuthorityError
		invalid      x509.CertificateInvalidError
		hostname     x509.HostnameError
	)
	// An alert, the peer's or our own, is of a type that crypto/tls doesn't export
	// outside of QUIC; the operation around it has a name of its own.
	var op *net.OpError
	if errors.As(err, &op) && (op.Op == "remote error" || op.Op == "local error") {
		return true
	}
	return errors.As(err, &verification) || errors.As(err, &header) || errors.As(err, &alert) ||
		errors.As(err, &authority) || errors.As(err, &invalid) || errors.As(err, &hostname)
}

func isUnreachable(err error) bool {
	for _, target := range []error{
		fs.ErrNotExist, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed,
		syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.EPIPE, syscall.EBUSY,
		syscall.ENODEV, syscall.ENXIO, syscall.EIO,
	} {
		if errors.Is(err, target) {
			return true
		}
	}
	var dns *net.DNSError
	var op *net.OpError
	return errors.As(err, &dns) || errors.As(err, &op)
}
