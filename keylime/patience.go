package keylime

import (
	"context"
	"time"

	"funlab.casa/attestation_exporter/failure"
)

// The time that one reading may take, whatever it took before.
const (
	shortestPatience = 5 * time.Second
	firstPatience    = 20 * time.Second
	longestPatience  = time.Minute
)

// nextPatience says how long the next reading may take, after one that had patience
// and took that long. A timed-out reading is repeated only after twenty times its
// length, so patience is kept short where readings are: a verifier with three agents
// that hung is asked again after 100 s, one with 10,000 needs 3.6 s and gets 36.
func nextPatience(patience, took time.Duration, timedOut bool) time.Duration {
	if timedOut {
		return min(2*patience, longestPatience)
	}
	return min(max(10*took, shortestPatience), longestPatience)
}

// impatient gives a failure that came when the patience of ctx was over this reason,
// whatever it looks like: a server that notices how a connection is given up may
// still end its answer properly, and the half of it then looks like a broken one.
func impatient(ctx context.Context, err error) error {
	if err == nil || ctx.Err() == nil {
		return err
	}
	return failure.Wrap(failure.Timeout, err)
}
