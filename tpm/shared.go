package tpm

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"funlab.casa/attestation_exporter/failure"
)

// ReadAlso is Read together with the values of further PCRs, which aren't in the
// Reading. Banks that the TPM hasn't got are left out.
func (s *Source) ReadAlso(ctx context.Context, extra Selection) (Reading, Values, error) {
	baseline, baselineErr := s.loadBaseline()
	own := s.Selection.Union(baseline.Selection())
	reading, err := s.read(ctx, own.Union(s.allocated(extra)))
	values := ValuesOf(reading.PCRs)
	reading.PCRs = slices.DeleteFunc(reading.PCRs, func(pcr PCR) bool { return !own[pcr.Bank].Has(pcr.Index) })
	if len(baseline.PCRs) > 0 && reading.Source != "" {
		comparison := baseline.Compare(reading.PCRs)
		reading.Baseline = &comparison
	}
	return reading, values, errors.Join(err, baselineErr)
}

// allocated returns the part of a selection that the TPM is known to have. Before
// the first reading nothing is known, and through sysfs nothing ever is.
func (s *Source) allocated(selection Selection) Selection {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := Selection{}
	for bank, pcrs := range selection {
		known[bank] = pcrs & s.facts.banks[bank]
	}
	return known
}

// A Shared lets the collectors of one scrape share one reading of the TPM. A
// reading is shared by those who ask while it lasts, and for a moment after it
// began, which must be shorter than the time between two scrapes.
type Shared struct {
	read   func(context.Context, Selection) (Reading, Values, error)
	moment time.Duration

	mu     sync.Mutex
	extra  Selection // what was asked for beside the source's own selection
	flight *flight   // the last reading, or the one under way
}

type flight struct {
	began   time.Time
	extra   Selection
	expired bool // whoever asked first had less time than it took
	done    chan struct{}
	reading Reading
	values  Values
	err     error
}

// NewShared shares the readings of a source.
func NewShared(source *Source, moment time.Duration) *Shared {
	return &Shared{read: source.ReadAlso, moment: moment}
}

// Read returns what the source's Read would.
func (s *Shared) Read(ctx context.Context) (Reading, error) {
	f, err := s.join(ctx, nil)
	if err != nil {
		return Reading{}, err
	}
	return f.reading, f.err
}

// Values returns the values of the selected PCRs, of which some may be missing.
// They come from the reading that Read returns, if that has them; one for which it
// was made too late asks for them from now on.
func (s *Shared) Values(ctx context.Context, selection Selection) (Values, error) {
	f, err := s.join(ctx, nil)
	if err == nil && f.reading.Source != "" && !f.values.Cover(selection) {
		f, err = s.join(ctx, selection)
	}
	if err != nil {
		return nil, err
	}
	if f.values.Cover(selection) {
		return f.values, nil // whatever else failed
	}
	return f.values, f.err
}

// join waits for a reading that was asked for the selection, and starts one if
// there is none. Only one runs at a time: a chip that doesn't answer holds one
// goroutine, however many ask.
func (s *Shared) join(ctx context.Context, selection Selection) (*flight, error) {
	for {
		f := s.current(ctx, selection)
		select {
		case <-f.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if f.extra.has(selection) && !f.expired {
			return f, nil
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
}

func (s Selection) has(other Selection) bool {
	for bank, pcrs := range other {
		if pcrs&^s[bank] != 0 {
			return false
		}
	}
	return true
}

// current returns the reading under way, or a recent one that was asked for the
// selection, or a new one.
func (s *Shared) current(ctx context.Context, selection Selection) *flight {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.extra = s.extra.Union(selection)
	if f := s.flight; f != nil {
		select {
		case <-f.done:
			if time.Since(f.began) < s.moment && f.extra.has(selection) && !f.expired {
				return f
			}
		default:
			return f
		}
	}
	s.flight = &flight{began: time.Now(), extra: s.extra, done: make(chan struct{})}
	go s.flight.run(ctx, s.read)
	return s.flight
}

// run reads by the deadline of whoever asked first. That this one goes away
// doesn't end the reading for the others.
func (f *flight) run(ctx context.Context, read func(context.Context, Selection) (Reading, Values, error)) {
	defer close(f.done)
	defer func() {
		if p := recover(); p != nil {
			f.err = failure.Panicked(p)
		}
	}()
	own := context.WithoutCancel(ctx)
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		own, cancel = context.WithDeadline(own, deadline)
		defer cancel()
	}
	f.reading, f.values, f.err = read(own, f.extra)
	f.expired = own.Err() != nil
}
