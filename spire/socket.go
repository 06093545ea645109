package spire

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync/atomic"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"funlab.casa/attestation_exporter/failure"
)

// maxMessage bounds one answer. A bundle of 10,000 authorities has 6 MB, and a page
// of agents never more than 3 MB.
const maxMessage = 16 << 20

// bufferSize is that of each direction; large frames are read past it. A connection is
// for a few calls, and gRPC's own 32 KiB were a twelfth of what a scrape allocates.
const bufferSize = 4 << 10

var errSpent = errors.New("the connection broke")

// A socket is one of SPIRE's, with the users whose process may listen on it.
type socket struct {
	path   string
	owners []uint32
}

// A connection is gRPC on a socket.
type connection struct {
	*grpc.ClientConn
	preface *preface
	user    uint32      // whose process listens
	failed  atomic.Bool // a call did

	line *line // that keeps it; nil for none
	node node  // that it was made by
}

// connect connects to s.
//
// The connection is made before gRPC gets it, because gRPC tells a missing socket,
// a left-over one and a forbidden one apart in prose only. Once it breaks, gRPC gets no
// other: whoever listens by then has to be looked at first.
func (s socket) connect(ctx context.Context) (*connection, error) {
	var dialer net.Dialer
	raw, err := dialer.DialContext(ctx, "unix", s.path)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	user, err := s.checkPeer(raw)
	if err != nil {
		_ = raw.Close()
		return nil, err
	}
	conn := &connection{preface: &preface{Conn: raw}, user: user}
	var spent atomic.Bool
	conn.ClientConn, err = grpc.NewClient("passthrough:///spire",
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) {
			if spent.Swap(true) {
				return nil, errSpent
			}
			return conn.preface, nil
		}),
		grpc.WithTransportCredentials(insecure.NewCredentials()), // A Unix socket: the kernel says who the peer is.
		grpc.WithAuthority("localhost"),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)),
		grpc.WithDisableServiceConfig(),
		grpc.WithDisableRetry(),
		grpc.WithReadBufferSize(bufferSize),
		grpc.WithWriteBufferSize(bufferSize),
	)
	if err != nil {
		_ = raw.Close()
		return nil, fmt.Errorf("set up gRPC on %s: %w", s.path, err)
	}
	return conn, nil
}

// end ends the connection. Nothing was under way that could be lost. A call that
// never was made never took the connection from under gRPC, hence both.
func (c *connection) end() {
	_ = c.ClientConn.Close()
	_ = c.preface.Close()
}

// allows reports whether that user's process may listen.
func (s socket) allows(user uint32) bool { return user == 0 || slices.Contains(s.owners, user) }

// checkPeer compares the user of the process that listens with those expected, and
// returns who it is.
// SPIRE's default places are below /tmp, where whoever comes first may put a socket
// and answer what he likes.
func (s socket) checkPeer(conn net.Conn) (user uint32, err error) {
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return 0, fmt.Errorf("look at the peer of %s: %w", s.path, err)
	}
	var peer *unix.Ucred
	var optErr error
	if err := raw.Control(func(fd uintptr) {
		peer, optErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil || optErr != nil {
		return 0, fmt.Errorf("look at the peer of %s: %w", s.path, errors.Join(err, optErr))
	}
	if !s.allows(peer.Uid) {
		return 0, failure.Errorf(failure.Permission, "user %d listens on %s, expected %v or root", peer.Uid, s.path, s.owners)
	}
	return peer.Uid, nil
}

// serving asks the standard health service. SPIRE's agent says SERVING to anybody,
// also when it has no identity to give, lost its server, or its own SVID ran out:
// this is the process answering and no more.
func serving(ctx context.Context, conn *connection) error {
	answer, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{})
	if err != nil {
		return conn.callError("check health", err)
	}
	if got := answer.GetStatus(); got != grpc_health_v1.HealthCheckResponse_SERVING {
		return failure.Errorf(failure.Unreachable, "check health: the answer is %s", got)
	}
	return nil
}

// callError gives the error of a call its reason. A status has no cause in which
// failure.Of could find one.
func (c *connection) callError(what string, err error) error {
	c.failed.Store(true)
	if c.preface.foreign.Load() {
		return failure.Errorf(failure.Malformed, "%s: no gRPC is spoken here: %w", what, err)
	}
	return failure.Errorf(reasonOf(status.Code(err)), "%s: %w", what, err)
}

func reasonOf(code codes.Code) failure.Reason {
	switch code {
	case codes.DeadlineExceeded, codes.Canceled:
		return failure.Timeout
	case codes.Unavailable:
		return failure.Unreachable
	case codes.PermissionDenied, codes.Unauthenticated:
		return failure.Auth
	default:
		// A peer that doesn't know the call, sends too much, or can't answer.
		return failure.Malformed
	}
}

// preface watches the first bytes of a connection. An HTTP/2 server begins with a
// SETTINGS frame (RFC 9113, section 3.4); gRPC reports any other beginning as an
// unavailable server, which would send people looking for a dead process.
type preface struct {
	net.Conn
	read    int
	foreign atomic.Bool
}

const (
	typeOffset    = 3 // of a frame's type, behind its length (RFC 9113, section 4.1)
	frameSettings = 4
)

func (p *preface) Read(b []byte) (int, error) {
	n, err := p.Conn.Read(b)
	if at := typeOffset - p.read; at >= 0 && at < n && b[at] != frameSettings {
		p.foreign.Store(true)
	}
	p.read = min(p.read+n, typeOffset+1)
	return n, err
}
