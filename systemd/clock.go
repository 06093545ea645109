package systemd

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// A Clock is CLOCK_REALTIME and CLOCK_MONOTONIC read at the same moment: what it
// takes to place a value of the one on the other. The second stands still while
// the host sleeps, so a pair is good for the values of one reading only.
type Clock struct {
	Realtime  time.Time
	Monotonic time.Duration
}

// readClock reads both clocks. A preemption in between shifts what is converted
// by its length, which is far below any timer's accuracy.
func readClock() (Clock, error) {
	var monotonic unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &monotonic); err != nil {
		return Clock{}, fmt.Errorf("read CLOCK_MONOTONIC: %w", err)
	}
	return Clock{Realtime: time.Now(), Monotonic: time.Duration(monotonic.Nano())}, nil
}

// latest is the last microsecond of the year 9999, in microseconds since 1970. A
// later moment can't be written as JSON, and is as good as never.
const latest = 253402300799_999999

// none tells whether systemd means no moment at all: 0 is "never", UINT64_MAX is
// "infinity".
func none(usec uint64) bool {
	return usec == 0 || usec > latest
}

// fromRealtime turns microseconds since 1970 into a moment, the zero time where
// there is none.
func fromRealtime(usec uint64) time.Time {
	if none(usec) {
		return time.Time{}
	}
	return time.UnixMicro(int64(usec)).UTC() //nolint:gosec // No larger than latest.
}

// fromMonotonic turns microseconds of CLOCK_MONOTONIC into the moment on the wall
// at which that clock shows them, the zero time where there is none.
func fromMonotonic(usec uint64, now Clock) time.Time {
	if none(usec) {
		return time.Time{}
	}
	wall := now.Realtime.UnixMicro() + int64(usec) - now.Monotonic.Microseconds() //nolint:gosec // No larger than latest.
	if wall > latest {
		return time.Time{}
	}
	return time.UnixMicro(wall).UTC()
}

// earlier returns the earlier of two moments, either of which may be missing. A
// timer with a calendar and a monotonic setting elapses at whichever comes first.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// later returns the later of two moments, either of which may be missing: the
// zero time is before all others.
func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
