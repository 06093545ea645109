package certs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"funlab.casa/attestation_exporter/failure"
)

// Join makes one source of two, which are read side by side: neither a failure of
// one nor a call that it hangs in keeps the other from being shown. It returns
// ErrAbsent where both do.
//
// A source that hangs beyond the end of ctx is left alone. It must then let those who
// come later wait by their own ctx, as a Source does, so that it holds one goroutine
// and not one a reading.
func Join(first, second func(context.Context) (Reading, error)) func(context.Context) (Reading, error) {
	return func(ctx context.Context) (Reading, error) {
		early, cancel := shortened(ctx)
		defer cancel()
		begunA, begunB := begin(early, first), begin(early, second)
		a, aErr := begunA.wait(ctx)
		b, bErr := begunB.wait(ctx)
		joined := Reading{
			Loads:    slices.SortedStableFunc(slices.Values(slices.Concat(a.Loads, b.Loads)), byKindAndName),
			Verdicts: slices.Concat(a.Verdicts, b.Verdicts),
		}
		switch {
		case errors.Is(aErr, ErrAbsent):
			return joined, bErr
		case errors.Is(bErr, ErrAbsent):
			return joined, aErr
		}
		return joined, errors.Join(aErr, bErr)
	}
}

// shortened keeps back the last tenth of the time, in which a source that stops when
// told to hands over what it has.
func shortened(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, deadline.Add(-time.Until(deadline)/10))
}

// begun is a reading under way.
type begun chan joinable

type joinable struct {
	reading Reading
	err     error
}

// begin reads in a goroutine of its own. A panic there is a failed reading: nobody
// else could recover it.
func begin(ctx context.Context, read func(context.Context) (Reading, error)) begun {
	done := make(begun, 1)
	go func() {
		var got joinable
		defer func() {
			if p := recover(); p != nil {
				got.err = failure.Panicked(p)
			}
			done <- got
		}()
		got.reading, got.err = read(ctx)
	}()
	return done
}

// wait returns the reading, be it there at the same moment at which ctx ends.
func (b begun) wait(ctx context.Context) (Reading, error) {
	select {
	case got := <-b:
		return got.reading, got.err
	case <-ctx.Done():
	}
	select {
	case got := <-b:
		return got.reading, got.err
	default:
		return Reading{}, fmt.Errorf("wait for a reading that hangs: %w", ctx.Err())
	}
}
