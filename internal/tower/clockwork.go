package tower

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// A job is a timer of the host, and what the service that it starts does.
type job struct {
	timer string // without its suffix, and so the service's name
	every time.Duration
	work  func(now time.Time) error

	// What a fault does to it.
	stopped bool // the timer was stopped
	failing bool // the service fails

	failed     bool // the last run
	last, next time.Time
}

// due tells whether the timer elapses at now.
func (j *job) due(now time.Time) bool { return !j.stopped && !now.Before(j.next) }

// run does what systemd does when the timer elapses.
func (j *job) run(now time.Time) error {
	j.last, j.next = now, now.Add(j.every)
	j.failed = j.failing
	if j.failing {
		return nil
	}
	if err := j.work(now); err != nil {
		return fmt.Errorf("%s: %w", j.timer, err)
	}
	return nil
}

// job is the one that a timer starts.
func (t *Tower) job(timer string) *job {
	return t.jobs[slices.IndexFunc(t.jobs, func(j *job) bool { return j.timer == timer })]
}

// clockwork lets SPIRE renew, lets the verifier learn what it does, and runs the jobs
// until ctx ends.
func (t *Tower) clockwork(ctx context.Context) {
	tick := time.NewTicker(max(20*time.Millisecond, t.options.Day/5000))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			if err := t.tick(now); err != nil {
				fmt.Fprintf(t.options.Log, "tower: %v\n", err)
			}
		}
	}
}

func (t *Tower) tick(now time.Time) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.tickSPIRE(now); err != nil {
		return err
	}
	t.attest(now)
	for _, j := range t.jobs {
		if !j.due(now) {
			continue
		}
		err := j.run(now)
		t.publish(j)
		if err != nil {
			return err
		}
	}
	return nil
}
