package certs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"funlab.casa/attestation_exporter/failure"
)

// handover is how long a reading at least has. It is long enough for a goroutine to
// run, and short beside the time that a scrape keeps back for its way home.
const handover = 50 * time.Millisecond

// Join makes one source of two, which are read side by side: neither a failure of
// one nor a call that it hangs in keeps the other from being shown. It returns
// ErrAbsent where both do.
//
// A source that hangs beyond the end of ctx is left alone. It must then let those who
// come later wait by their own ctx, as a Source does, so that it holds one goroutine
// and not one a reading. While it hangs a reading may well begin when its ctx has
// ended, since it waited for the one before it: the other source still gets a moment
// to hand over what it remembers.
func Join(first, second func(context.Context) (Reading, error)) func(context.Context) (Reading, error) {
	return func(ctx context.Context) (Reading, error) {
		early, cancel := shortened(ctx)
		defer cancel()
		moment, cancel := context.WithTimeout(context.WithoutCancel(ctx), handover)
		defer cancel()
		begunA, begunB := begin(early, first), begin(early, second)
		a, aErr := begunA.wait(ctx, moment)
		b, bErr := begunB.wait(ctx, moment)
		joined := Reading{
			Loads:    once(slices.Concat(a.Loads, b.Loads)),
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

// once sorts loads by kind and name, and leaves one of each: the one with a certificate,
// since both halves may read a file, and one of them may not be allowed to.
func once(loads []Load) []Load {
	slices.SortStableFunc(loads, func(a, b Load) int {
		if c := byKindAndName(a, b); c != 0 || (a.Certificate != nil) == (b.Certificate != nil) {
			return c
		}
		if a.Certificate != nil {
			return -1
		}
		return 1
	})
	return slices.CompactFunc(loads, func(a, b Load) bool { return byKindAndName(a, b) == 0 })
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

// wait returns the reading, be it there at the same moment at which the last of both
// ends.
func (b begun) wait(ctx, moment context.Context) (Reading, error) {
	for _, end := range []context.Context{ctx, moment} {
		select {
		case got := <-b:
			return got.reading, got.err
		case <-end.Done():
		}
	}
	select {
	case got := <-b:
		return got.reading, got.err
	default:
		return Reading{}, fmt.Errorf("wait for a reading that hangs: %w", ctx.Err())
	}
}
