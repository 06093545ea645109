package certs

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A scriptedServer stands for all endpoints and counts what it is asked.
type scriptedServer struct {
	attempts atomic.Int32
	atOnce   atomic.Int32
	most     atomic.Int32
	answer   func(ctx context.Context) presented
}

func (s *scriptedServer) attempt(ctx context.Context, _ Endpoint, _ *authorities) presented {
	s.attempts.Add(1)
	s.most.Store(max(s.most.Load(), s.atOnce.Add(1)))
	defer s.atOnce.Add(-1)
	return s.answer(ctx)
}

func (s *scriptedServer) prober() *prober {
	p := newProber()
	p.attempt = s.attempt
	return p
}

func after(d time.Duration, got presented) func(context.Context) presented {
	return func(ctx context.Context) presented {
		select {
		case <-time.After(d):
			return got
		case <-ctx.Done():
			return presented{err: ctx.Err(), connected: true}
		}
	}
}

func seen(subject string) presented {
	return presented{certificate: &Certificate{Subject: subject}, connected: true}
}

// At one reading in 15 seconds an hour has 240 of them, and room for 12 handshakes.
func TestProbePace(t *testing.T) {
	tests := []struct {
		name   string
		answer func(context.Context) presented
		want   int32
	}{
		{"healthy", after(10*time.Millisecond, seen("CN=leaf")), 12},
		{"fails", after(time.Millisecond, presented{err: errors.New("no handshake"), connected: true}), 12},
		{"says nothing", after(time.Hour, presented{}), 12},
		{"panics", func(context.Context) presented { panic("scripted") }, 12},
		{"refused", after(0, presented{err: errors.New("refused")}), 240},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &scriptedServer{answer: tt.answer}
				prober, target := server.prober(), &probe{}
				for range 240 {
					prober.begin(t.Context(), target, nil)
					time.Sleep(15 * time.Second)
				}
				if got := server.attempts.Load(); got != tt.want {
					t.Errorf("attempts in an hour: got %d, want %d", got, tt.want)
				}
			})
		})
	}
}

func TestProbeOutcomes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &scriptedServer{answer: after(2*time.Second, seen("CN=first"))}
		prober, target := server.prober(), &probe{}
		want := func(when, subject string, reason LoadReason) {
			t.Helper()
			got := target.outcome()
			if reasonOf(got.err) != reason || got.certificate != nil && got.certificate.Subject != subject {
				t.Errorf("%s: got %+v, want %q %q", when, got, subject, reason)
			}
		}
		want("before the first attempt", "", Timeout)

		// The reading that begins an attempt goes away; the attempt doesn't, and
		// nobody starts another.
		ctx, cancel := context.WithCancel(t.Context())
		done := prober.begin(ctx, target, nil)
		cancel()
		synctest.Wait()
		want("while the first attempt runs", "", Timeout)
		if again := prober.begin(t.Context(), target, nil); again != done {
			t.Error("a second attempt runs beside the first")
		}
		<-done
		want("after the first attempt", "CN=first", "")

		server.answer = after(time.Hour, presented{})
		time.Sleep(handshakeInterval)
		done = prober.begin(t.Context(), target, nil)
		synctest.Wait()
		want("while the second attempt runs", "CN=first", "")
		begin := time.Now()
		<-done
		if took := time.Since(begin); took != handshakeTimeout {
			t.Errorf("second attempt: took %v, want %v", took, handshakeTimeout)
		}
		want("after the second attempt", "", Timeout)

		server.answer = func(context.Context) presented { panic("scripted") }
		time.Sleep(handshakeInterval)
		<-prober.begin(t.Context(), target, nil)
		want("after a panic", "", Internal)
	})
}

// A thousand silent endpoints are asked a few at a time, and hold nobody up.
func TestProbeThousand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &scriptedServer{answer: after(time.Hour, presented{})}
		prober := server.prober()
		begin := time.Now()
		var last []<-chan struct{}
		for range 1000 {
			last = append(last, prober.begin(t.Context(), &probe{}, nil))
		}
		if took := time.Since(begin); took != 0 {
			t.Errorf("beginning: took %v, want no time", took)
		}
		for _, done := range last {
			<-done
		}
		if got := server.most.Load(); got != maxHandshakes {
			t.Errorf("side by side: got %d, want %d", got, maxHandshakes)
		}
		if took, want := time.Since(begin), 63*handshakeTimeout; took != want { // 1000 by 16
			t.Errorf("all attempts: took %v, want %v", took, want)
		}
	})
}
