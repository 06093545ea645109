package tpm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"funlab.casa/attestation_exporter/failure"
)

// A chip is an open TPM during one reading.
type chip struct {
	link     io.ReadWriteCloser
	commands int
}

// openChip waits while the device is busy, until ctx ends.
func openChip(ctx context.Context, path string, open opener) (*chip, error) {
	for wait := firstPause; ; wait = nextPause(wait) {
		link, err := open(ctx, path)
		if err == nil {
			return &chip{link: link}, nil
		}
		if !isBusy(err) {
			return nil, err
		}
		if ended := pause(ctx, wait); ended != nil {
			return nil, fmt.Errorf("%w: %w", ended, err)
		}
	}
}

// sender is a function in the shape that go-tpm wants.
type sender func(command []byte) ([]byte, error)

// Send implements transport.TPM.
func (s sender) Send(command []byte) ([]byte, error) { return s(command) }

// until returns the chip as go-tpm wants it, for commands that end with ctx.
func (c *chip) until(ctx context.Context) transport.TPM {
	return sender(func(command []byte) ([]byte, error) {
		response, err := c.send(ctx, command)
		if err != nil {
			return nil, &linkError{err}
		}
		return response, checkHeader(command, response)
	})
}

// send repeats a command that the TPM asks to be sent again, until ctx ends. It
// does so itself, because go-tpm's own repetition sleeps for seconds and knows no
// context.
func (c *chip) send(ctx context.Context, command []byte) ([]byte, error) {
	for wait := firstPause; ; wait = nextPause(wait) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		c.commands++
		response, err := exchange(c.link, command)
		if err != nil {
			if ended := ctx.Err(); ended != nil {
				return nil, fmt.Errorf("%w: %w", ended, err)
			}
			return nil, err
		}
		code := tpm2.TPMRC(responseCode(response))
		if !asksAgain(code) {
			return response, nil
		}
		if ended := pause(ctx, wait); ended != nil {
			return nil, fmt.Errorf("%w: last answer: %w", ended, code)
		}
	}
}

// asksAgain tells whether the TPM took no notice of the command and wants it
// again, because it is busy, or is still testing itself (TPM 2.0 Library, part 2,
// section 6.6.3).
func asksAgain(code tpm2.TPMRC) bool {
	return code == tpm2.TPMRCRetry || code == tpm2.TPMRCYielded || code == tpm2.TPMRCTesting
}

const (
	firstPause   = time.Millisecond
	longestPause = 100 * time.Millisecond
)

func nextPause(wait time.Duration) time.Duration { return min(2*wait, longestPause) }

// pause returns the error of ctx if that ends first.
func pause(ctx context.Context, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// A linkError is a failure to talk to the TPM at all. No command after it can be
// trusted to get its own answer.
type linkError struct{ err error }

func (e *linkError) Error() string { return e.err.Error() }
func (e *linkError) Unwrap() error { return e.err }

func isLinkError(err error) bool {
	var link *linkError
	return errors.As(err, &link)
}

// run executes one of go-tpm's commands and says in its error which one it was,
// and of what kind the failure is.
func run[R any](chip transport.TPM, name string, execute func(transport.TPM, ...tpm2.Session) (*R, error)) (*R, error) {
	response, err := execute(chip)
	if err == nil {
		return response, nil
	}
	var code tpm2.TPMRC
	switch err = fmt.Errorf("%s: %w", name, err); {
	case isLinkError(err):
		return nil, err
	case errors.As(err, &code):
		return nil, failure.Wrap(reasonOf(code), err)
	}
	return nil, failure.Wrap(failure.Malformed, err)
}

// reasonOf names a refusal by the TPM. A TPM in failure mode, or one that nobody
// has started, does as much for its host as one that is away.
func reasonOf(code tpm2.TPMRC) failure.Reason {
	switch {
	case errors.Is(code, tpm2.TPMRCFailure), errors.Is(code, tpm2.TPMRCInitialize), errors.Is(code, tpm2.TPMRCReboot):
		return failure.Unreachable
	case refusesAuthorization(code):
		return failure.Auth
	}
	return failure.Internal
}

// refusesAuthorization tells whether the TPM wants a secret that it wasn't given.
func refusesAuthorization(code tpm2.TPMRC) bool {
	for _, refusal := range []tpm2.TPMRC{
		tpm2.TPMRCAuthFail, tpm2.TPMRCBadAuth, tpm2.TPMRCNVAuthorization, tpm2.TPMRCAuthType, tpm2.TPMRCAuthUnavailable, tpm2.TPMRCLockout,
	} {
		if errors.Is(code, refusal) {
			return true
		}
	}
	return false
}
