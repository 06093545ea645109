// Package keylime stands in for a Keylime verifier, a registrar and an agent.
//
// The servers answer in the shapes recorded from release 7.14.3 and behave as it
// does where an exporter can see it: states follow each other in the recorded times,
// agents that hang keep their PASS, and faults can be switched on while they run.
// They attest nothing: what an agent answers is decided by its Conduct.
package keylime

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"
)

// A Server is one of the stand-ins while it listens.
type Server struct {
	// Address is the host:port that it listens on.
	Address string

	http     *http.Server
	stopped  chan struct{}
	requests requestCount

	mu      sync.Mutex
	fault   Fault
	release chan struct{} // closed when the fault ends, for requests that hang in it
}

// listen starts a server on address, such as 127.0.0.1:0, that speaks TLS as
// settings say and stops when ctx ends. A verifier from release 7.14 on lets clients
// in without a certificate, and then answers 403; older ones end the handshake.
func listen(ctx context.Context, address string, settings *tls.Config, routes http.Handler) (*Server, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	s := &Server{
		Address: listener.Addr().String(),
		stopped: make(chan struct{}),
		release: make(chan struct{}),
	}
	s.http = &http.Server{
		Handler:           s.faulty(routes),
		TLSConfig:         settings.Clone(),
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          log.New(io.Discard, "", 0),
	}
	// HTTP/1.1 only, as Tornado.
	s.http.TLSConfig.NextProtos = []string{"http/1.1"}
	s.http.TLSConfig.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		if fault, release := s.broken(); fault == Silent {
			<-release
		}
		return nil, nil // The same configuration as ever.
	}
	go func() {
		defer close(s.stopped)
		// It only ever ends by being closed.
		_ = s.http.Serve(tls.NewListener(listener, s.http.TLSConfig))
	}()
	context.AfterFunc(ctx, s.Close)
	return s, nil
}

// URL is the base of the server's API.
func (s *Server) URL() string { return "https://" + s.Address }

// Requests is how many requests came for a path of the API, without its version:
// "version", "agents/" or "agents/ID".
func (s *Server) Requests(path string) int { return s.requests.of(path) }

// Close stops the server and breaks off what it is answering.
func (s *Server) Close() {
	s.Break(NoFault)
	_ = s.http.Close()
	<-s.stopped
}

// Break switches to fault, and with NoFault back to health.
func (s *Server) Break(fault Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.release)
	s.fault, s.release = fault, make(chan struct{})
}

func (s *Server) broken() (Fault, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fault, s.release
}

type requestCount struct {
	mu    sync.Mutex
	paths map[string]int
}

func (c *requestCount) add(path string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.paths == nil {
		c.paths = map[string]int{}
	}
	c.paths[path]++
}

func (c *requestCount) of(path string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.paths[path]
}
