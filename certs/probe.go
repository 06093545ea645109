package certs

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	// handshakeInterval is how often a server is asked to do a handshake, which
	// costs it a signature and often a line in its log.
	handshakeInterval = 5 * time.Minute
	// handshakeTimeout bounds one attempt, the connection included.
	handshakeTimeout = 5 * time.Second
	// maxHandshakes is how many attempts run side by side.
	maxHandshakes = 16
)

// A prober looks at endpoints, each at its own pace: attempts run apart from the
// readings that begin them, and a reading takes what there is.
type prober struct {
	attempt func(ctx context.Context, e Endpoint, ca *authorities) presented
	slots   chan struct{}
}

func newProber() *prober {
	return &prober{attempt: handshake, slots: make(chan struct{}, maxHandshakes)}
}

// A probe is one endpoint and the last outcome of looking at it.
type probe struct {
	endpoint Endpoint

	mu      sync.Mutex
	last    *presented    // nil before the first outcome
	due     time.Time     // no attempt before
	running chan struct{} // closed when the attempt ends; nil when there is none
}

// begin starts an attempt if one is due, and returns what is closed when no
// attempt runs any more.
func (p *prober) begin(ctx context.Context, target *probe, ca *authorities) <-chan struct{} {
	target.mu.Lock()
	defer target.mu.Unlock()
	if target.running != nil {
		return target.running
	}
	done := make(chan struct{})
	if time.Now().Before(target.due) {
		close(done)
		return done
	}
	target.running = done
	// The attempt may outlive the reading, but not its own time.
	go p.run(context.WithoutCancel(ctx), target, ca)
	return done
}

func (p *prober) run(ctx context.Context, target *probe, ca *authorities) {
	p.slots <- struct{}{} // Each holder gives it back within handshakeTimeout.
	defer func() { <-p.slots }()

	begin := time.Now()
	outcome := p.attemptInTime(ctx, target.endpoint, ca)

	target.mu.Lock()
	defer target.mu.Unlock()
	target.last = &outcome
	if outcome.connected {
		target.due = begin.Add(handshakeInterval)
	}
	close(target.running)
	target.running = nil
}

func (p *prober) attemptInTime(ctx context.Context, e Endpoint, ca *authorities) (outcome presented) {
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	defer func() {
		if r := recover(); r != nil {
			outcome = presented{err: &LoadError{Internal, fmt.Errorf("panic: %v", r)}, connected: true}
		}
	}()
	return p.attempt(ctx, e, ca)
}

// outcome returns the last one: it stands until the next.
func (target *probe) outcome() presented {
	target.mu.Lock()
	defer target.mu.Unlock()
	if target.last == nil {
		return presented{err: &LoadError{Timeout, errors.New("first handshake isn't over yet")}}
	}
	return *target.last
}
