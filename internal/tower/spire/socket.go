// Package spire is a stand-in of a SPIRE server and of a SPIRE agent, for tests and
// the demonstration. It speaks gRPC on Unix sockets from the same .proto files as
// the reader, replays recorded answers or plays a small living trust domain, and
// breaks on request. It attests nobody, and knows no more of SPIRE than the calls
// that are read.
package spire

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// An Answer is what a call gets instead of its usual answer.
type Answer struct {
	// Message is the answer, or the first message of a stream.
	Message proto.Message
	// Err is a status.
	Err error
	// Hang lets the caller wait until it gives up.
	Hang bool
}

// A Socket is a gRPC server on a Unix socket whose answers can be replaced call by
// call. It is safe for concurrent use.
type Socket struct {
	Path string

	server  *grpc.Server
	stopped chan struct{}
	mu      sync.Mutex
	hung    bool
	set     map[string]Answer
	calls   map[string]int
}

// listen starts a Socket at path. The services are what answers when nothing was
// set.
func listen(path string, register func(grpc.ServiceRegistrar)) (*Socket, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("remove left-over socket: %w", err)
	}
	var config net.ListenConfig
	listener, err := config.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	s := &Socket{Path: path, stopped: make(chan struct{}), set: map[string]Answer{}, calls: map[string]int{}}
	s.server = grpc.NewServer(
		grpc.UnaryInterceptor(s.unary),
		grpc.StreamInterceptor(s.stream),
		grpc.MaxSendMsgSize(64<<20),
	)
	register(s.server)
	go func() {
		defer close(s.stopped)
		_ = s.server.Serve(listener) // Ends with Close.
	}()
	return s, nil
}

// Close stops the server and removes the socket.
func (s *Socket) Close() {
	s.server.Stop()
	<-s.stopped
}

// Set replaces the answer to the method of that full name.
func (s *Socket) Set(method string, answer Answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.set[method] = answer
}

// Reset lets the method answer as usual again.
func (s *Socket) Reset(method string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.set, method)
}

// Hang lets every call wait until its caller gives up, or no longer.
func (s *Socket) Hang(hung bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hung = hung
}

// Calls returns how often the method was called.
func (s *Socket) Calls(method string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[method]
}

func (s *Socket) take(method string) (Answer, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[method]++
	if s.hung {
		return Answer{Hang: true}, true
	}
	answer, ok := s.set[method]
	return answer, ok
}

func (s *Socket) unary(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	answer, ok := s.take(info.FullMethod)
	switch {
	case !ok:
		return handler(ctx, request)
	case answer.Hang:
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return answer.Message, answer.Err
}

func (s *Socket) stream(server any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	answer, ok := s.take(info.FullMethod)
	switch {
	case !ok:
		return handler(server, stream)
	case answer.Hang:
		<-stream.Context().Done()
		return stream.Context().Err()
	case answer.Err != nil:
		return answer.Err
	}
	if err := stream.SendMsg(answer.Message); err != nil {
		return err
	}
	<-stream.Context().Done() // As SPIRE: the next message comes with the next change.
	return nil
}

// ServeRaw listens at path and hands each connection to serve: for peers that don't
// speak gRPC at all. It returns a function that stops it.
func ServeRaw(path string, serve func(net.Conn)) (stop func(), err error) {
	var config net.ListenConfig
	listener, err := config.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // Stopped.
			}
			go func() {
				defer func() { _ = conn.Close() }()
				serve(conn)
			}()
		}
	}()
	return func() { _ = listener.Close() }, nil
}
