// Package duty keeps a reading from hurting what it watches.
//
// A bulk answer of a Keylime verifier with 10,000 agents costs that verifier 3.6 s
// in which it attests nobody. A Limit therefore reads at most a twentieth of the
// time, whoever asks and however often. The package does not know what is read.
package duty

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"funlab.casa/attestation_exporter/failure"
)

// share is how many times its own duration a reading is served: 20 is a duty of
// 5 %. Failed and timed-out readings count, for they cost the source as much.
const share = 20

// A Limit serves one reading to all who ask until its rest is over. It is made by
// New and safe for concurrent use.
type Limit[T any] struct {
	read    func(context.Context) (T, error)
	timeout time.Duration

	mu     sync.Mutex
	flight chan struct{} // closed at the end of the reading under way; nil between readings
	begun  time.Time     // when that reading began
	last   outcome[T]
	rested time.Time // when the next reading may begin
}

type outcome[T any] struct {
	value T
	err   error
}

// New makes a Limit of read, which gets a context of its own that ends after
// timeout: a reading may outlive the scrape that began it.
func New[T any](timeout time.Duration, read func(context.Context) (T, error)) *Limit[T] {
	return &Limit[T]{read: read, timeout: timeout}
}

// Read returns the last reading while its rest lasts, and its value may have been
// read only in part where the error isn't nil. After that it begins one, or joins
// the one under way. A caller whose ctx ends before that reading does gets the last
// one once more if it was a success, so that a source slower than a scrape still
// shows; else, and where that reading is past its own timeout, the error of ctx.
func (l *Limit[T]) Read(ctx context.Context) (T, error) {
	l.mu.Lock()
	if l.flight == nil && time.Now().Before(l.rested) {
		defer l.mu.Unlock()
		return l.last.value, l.last.err
	}
	if l.flight == nil {
		l.flight, l.begun = make(chan struct{}), time.Now()
		go l.fly(context.WithoutCancel(ctx), l.flight)
	}
	flight, since, earlier, read := l.flight, l.begun, l.last, !l.rested.IsZero()
	l.mu.Unlock()

	select {
	case <-flight:
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.last.value, l.last.err
	case <-ctx.Done():
		// A reading that isn't back by its own timeout hangs in a call that nobody can
		// end, and what was read before it gets old.
		if hangs := time.Since(since) > l.timeout; read && earlier.err == nil && !hangs {
			return earlier.value, nil
		}
		var nothing T
		return nothing, fmt.Errorf("wait for the reading under way: %w", ctx.Err())
	}
}

// waited is the key of the time, in a reading's context, that it spent in Elsewhere.
type waited struct{}

// Elsewhere runs a part of a reading that troubles another source than the reading's
// own, so that its time calls for no rest. That source has a limit of its own, and a
// failure of it must not last twenty times as long as it did. Outside of a Limit's
// reading it only runs the part.
func Elsewhere(ctx context.Context, part func()) {
	begin := time.Now()
	part()
	if total, ok := ctx.Value(waited{}).(*atomic.Int64); ok {
		total.Add(int64(time.Since(begin)))
	}
}

// fly reads once and tells all who wait.
func (l *Limit[T]) fly(ctx context.Context, flight chan<- struct{}) {
	var elsewhere atomic.Int64
	begin := time.Now()
	got := l.once(context.WithValue(ctx, waited{}, &elsewhere))
	rest := share * (time.Since(begin) - time.Duration(elsewhere.Load()))
	if neverConnected(got.err) {
		rest = 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last, l.rested, l.flight = got, begin.Add(rest), nil
	close(flight)
}

// once reads under the Limit's own timeout. A panic is a failed reading: nobody
// else could recover it in this goroutine.
func (l *Limit[T]) once(ctx context.Context) (got outcome[T]) {
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			got.err = failure.Panicked(p)
		}
	}()
	got.value, got.err = l.read(ctx)
	return got
}

// neverConnected reports whether err is that of a connection that didn't come
// about. Such an attempt cost the source nothing and must not delay the next one,
// however long the name service or an unanswered SYN took.
func neverConnected(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}
