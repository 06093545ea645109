package duty

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"funlab.casa/attestation_exporter/failure"
)

// A source takes its time and says how often it was read.
type source struct {
	takes time.Duration
	err   error
	reads int
}

func (s *source) read(ctx context.Context) (int, error) {
	s.reads++
	if s.takes > 0 {
		select {
		case <-time.After(s.takes):
		case <-ctx.Done():
			return s.reads, ctx.Err()
		}
	}
	return s.reads, s.err
}

func TestDuty(t *testing.T) {
	refused := fmt.Errorf("get: %w", &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED})
	tests := []struct {
		name   string
		source source
		// Asked every second for two minutes, with a timeout of 10 s for a reading.
		want int
	}{
		{"free", source{}, 120},
		{"quick", source{takes: 18 * time.Millisecond}, 118},
		{"slow", source{takes: time.Second}, 6},
		{"slow and failing", source{takes: time.Second, err: errors.New("broken")}, 6},
		{"hanging", source{takes: time.Hour}, 1},
		{"refused", source{err: refused}, 120},
		{"refused slowly", source{takes: time.Second, err: refused}, 60},
		{"reset", source{takes: time.Second, err: &net.OpError{Op: "read", Err: syscall.ECONNRESET}}, 6},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := tt.source
				limit := New(10*time.Second, s.read)
				begin := time.Now()
				for time.Since(begin) < 2*time.Minute {
					got, err := limit.Read(t.Context())
					if !errors.Is(err, tt.source.err) && !errors.Is(err, context.DeadlineExceeded) {
						t.Fatalf("error: got %v, want %v", err, tt.source.err)
					}
					if got != s.reads {
						t.Fatalf("value: got %d, want that of reading %d", got, s.reads)
					}
					time.Sleep(time.Second)
				}
				if s.reads != tt.want {
					t.Errorf("readings in two minutes: got %d, want %d", s.reads, tt.want)
				}
			})
		})
	}
}

// What a reading waits for elsewhere is no trouble to its own source.
func TestElsewhere(t *testing.T) {
	tests := []struct {
		name      string
		elsewhere time.Duration // of a second that each reading takes
		want      int           // readings in a minute
	}{
		{"never", 0, 3},
		{"half of the time", 500 * time.Millisecond, 6},
		{"nearly always", 950 * time.Millisecond, 60},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				own := source{takes: time.Second - tt.elsewhere}
				limit := New(time.Minute, func(ctx context.Context) (int, error) {
					Elsewhere(ctx, func() { time.Sleep(tt.elsewhere) })
					return own.read(ctx)
				})
				for begin := time.Now(); time.Since(begin) < time.Minute; time.Sleep(time.Millisecond) {
					if _, err := limit.Read(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				if own.reads != tt.want {
					t.Errorf("readings in a minute: got %d, want %d", own.reads, tt.want)
				}
			})
		})
	}
}

func TestSingleFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := source{takes: time.Second}
		limit := New(time.Minute, s.read)
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				if got, err := limit.Read(t.Context()); got != 1 || err != nil {
					t.Errorf("got %d, %v, want 1, nil", got, err)
				}
			})
		}
		wg.Wait()
	})
}

func TestOutlivesTheScrape(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := source{takes: 15 * time.Second}
		limit := New(time.Minute, s.read)
		scrape := func() (int, error) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			return limit.Read(ctx)
		}

		if got, err := scrape(); got != 0 || failure.Of(err) != failure.Timeout {
			t.Errorf("first scrape: got %d, %v, want 0 and a timeout", got, err)
		}
		time.Sleep(5 * time.Second)
		if got, err := scrape(); got != 1 || err != nil {
			t.Errorf("second scrape: got %d, %v, want the reading that the first one began", got, err)
		}
		time.Sleep(share * s.takes)
		if got, err := scrape(); got != 1 || err != nil {
			t.Errorf("while the next is under way: got %d, %v, want the last success", got, err)
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if got, err := scrape(); got != 2 || err != nil {
			t.Errorf("after that: got %d, %v, want 2, nil", got, err)
		}
	})
}

// What was read before a call that nobody can end gets old.
func TestHangingReadingIsNotCoveredUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hangs, reads := make(chan struct{}), 0
		limit := New(time.Minute, func(context.Context) (int, error) {
			if reads++; reads > 1 {
				<-hangs
			}
			return reads, nil
		})
		scrape := func() (int, error) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			return limit.Read(ctx)
		}
		if got, err := scrape(); got != 1 || err != nil {
			t.Errorf("first scrape: got %d, %v, want 1, nil", got, err)
		}
		if got, err := scrape(); got != 1 || err != nil {
			t.Errorf("while the next is under way: got %d, %v, want the last success", got, err)
		}
		time.Sleep(time.Minute)
		if got, err := scrape(); got != 0 || failure.Of(err) != failure.Timeout {
			t.Errorf("past its timeout: got %d, %v, want 0 and a timeout", got, err)
		}
		close(hangs)
		synctest.Wait()
	})
}

func TestFailureIsNotCoveredUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := source{takes: time.Second}
		limit := New(time.Minute, s.read)
		if _, err := limit.Read(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(share * time.Second)
		s.err = errors.New("broken")
		for range 3 {
			if _, err := limit.Read(t.Context()); !errors.Is(err, s.err) {
				t.Errorf("error: got %v, want %v", err, s.err)
			}
		}
	})
}

func TestPanicIsAFailure(t *testing.T) {
	limit := New(time.Minute, func(context.Context) (int, error) { panic("surprise") })
	_, err := limit.Read(t.Context())
	if err == nil || failure.Of(err) != failure.Internal || !strings.Contains(err.Error(), "surprise") {
		t.Errorf("error: got %v, want the panic as an internal failure", err)
	}
}

// A wall clock that is set neither shortens a rest nor prolongs it. Go leaves the
// monotonic clock out of a moment's text once something has dropped it.
func TestRestIgnoresTheWallClock(t *testing.T) {
	s := source{takes: 10 * time.Millisecond}
	limit := New(time.Minute, s.read)
	if _, err := limit.Read(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := limit.rested.String(); !strings.Contains(got, " m=") {
		t.Errorf("end of the rest: got %s, want it by the monotonic clock", got)
	}
}
