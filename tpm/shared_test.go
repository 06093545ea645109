package tpm

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"funlab.casa/attestation_exporter/failure"
)

// slowChip is a source whose readings take a second, and which has two banks.
type slowChip struct {
	readings atomic.Int32
	err      error
	wedged   chan struct{}
}

func (c *slowChip) read(ctx context.Context, extra Selection) (Reading, Values, error) {
	c.readings.Add(1)
	if c.wedged != nil {
		<-c.wedged
	}
	select {
	case <-time.After(time.Second):
	case <-ctx.Done():
		return Reading{}, nil, ctx.Err()
	}
	if c.err != nil {
		return Reading{}, nil, c.err
	}
	values := Values{}
	for bank, pcrs := range Select(NewPCRSet(0, 7), SHA256).Union(extra) {
		for index := range pcrs.All() {
			if bank != SHA384 { // which this chip hasn't got
				values.set(bank, index, Digest{byte(index)})
			}
		}
	}
	return Reading{Source: FromDevice}, values, nil
}

func newSlowShared(c *slowChip) *Shared { return &Shared{read: c.read, moment: 3 * time.Second} }

func TestSharedOneReadingAScrape(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		chip := &slowChip{}
		shared := newSlowShared(chip)
		own := Select(NewPCRSet(0), SHA256)
		results := make(chan error, 3)
		for range 2 {
			go func() { _, err := shared.Values(t.Context(), own); results <- err }()
		}
		go func() { _, err := shared.Read(t.Context()); results <- err }()
		for range 3 {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
		if chip.readings.Load() != 1 {
			t.Errorf("three collectors at once: got %d readings, want 1", chip.readings.Load())
		}
		time.Sleep(3 * time.Second)
		if _, err := shared.Read(t.Context()); err != nil || chip.readings.Load() != 2 {
			t.Errorf("next scrape: got %d readings, error %v, want 2", chip.readings.Load(), err)
		}
	})
}

func TestSharedLearnsSelections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		chip := &slowChip{}
		shared := newSlowShared(chip)
		want := Select(NewPCRSet(4), SHA1)
		for scrape, readings := range []int32{2, 3, 4} {
			values, err := shared.Values(t.Context(), want)
			if err != nil || !values.Cover(want) || chip.readings.Load() != readings {
				t.Errorf("scrape %d: got %d readings, values %v, error %v, want %d readings", scrape, chip.readings.Load(), values, err, readings)
			}
			time.Sleep(time.Minute)
		}
		missing := Select(NewPCRSet(4), SHA384)
		if values, err := shared.Values(t.Context(), missing); err != nil || values.Cover(missing) {
			t.Errorf("bank that isn't there: got %v, error %v, want no value", values, err)
		}
	})
}

func TestSharedFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		chip := &slowChip{err: ErrAbsent}
		shared := newSlowShared(chip)
		if _, err := shared.Read(t.Context()); !errors.Is(err, ErrAbsent) {
			t.Errorf("reading: got error %v, want %v", err, ErrAbsent)
		}
		if _, err := shared.Values(t.Context(), Select(NewPCRSet(0), SHA256)); !errors.Is(err, ErrAbsent) {
			t.Errorf("values: got error %v, want %v", err, ErrAbsent)
		}
		if chip.readings.Load() != 1 {
			t.Errorf("got %d readings, want the failure to be shared", chip.readings.Load())
		}
	})
}

// TestSharedCallerGoesAway has a first caller who gives up, and a second one who
// gets the reading nevertheless.
func TestSharedCallerGoesAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		chip := &slowChip{}
		shared := newSlowShared(chip)
		ctx, cancel := context.WithCancel(t.Context())
		first := make(chan error, 1)
		go func() { _, err := shared.Read(ctx); first <- err }()
		synctest.Wait()
		cancel()
		if err := <-first; !errors.Is(err, context.Canceled) {
			t.Errorf("first caller: got error %v, want it to be cancelled", err)
		}
		if _, err := shared.Read(t.Context()); err != nil || chip.readings.Load() != 1 {
			t.Errorf("second caller: got %d readings, error %v, want the first reading", chip.readings.Load(), err)
		}
	})
}

func TestSharedWedged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		chip := &slowChip{wedged: make(chan struct{})}
		shared := newSlowShared(chip)
		for range 5 {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			if _, err := shared.Read(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("wedged: got error %v, want the deadline", err)
			}
			cancel()
		}
		if chip.readings.Load() != 1 {
			t.Errorf("wedged: got %d readings under way, want 1", chip.readings.Load())
		}
		close(chip.wedged)
		if _, err := shared.Read(t.Context()); err != nil {
			t.Errorf("afterwards: got error %v, want none", err)
		}
	})
}

func TestSharedPanic(t *testing.T) {
	shared := &Shared{read: func(context.Context, Selection) (Reading, Values, error) { panic("surprise") }, moment: time.Second}
	if _, err := shared.Read(t.Context()); failure.Of(err) != failure.Internal {
		t.Errorf("error: got %v, want an internal one", err)
	}
}
