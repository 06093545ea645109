package spire

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/connectivity"
)

// A line keeps the connection to one of SPIRE's sockets from one reading to the next.
// Its zero value is ready; it is safe for concurrent use: two readings at a time have a
// connection each, and one of them is kept.
//
// A connection outlives the name that it was made by, and goes on answering when
// somebody else listens there. So it is used again only where a new one would reach
// the same socket, of a user who may still be its owner; and never after a failure,
// since gRPC waits longer and longer after each.
type line struct {
	now func() time.Time // nil is time.Now

	mu   sync.Mutex
	kept *connection
}

// connect returns the connection that was kept, or makes one. Whoever gets it closes
// it, which keeps it.
func (l *line) connect(ctx context.Context, s socket) (*connection, error) {
	found, err := nodeAt(s.path)
	if kept := l.swap(nil); kept != nil {
		if err == nil && kept.node == found && s.allows(kept.user) && kept.GetState() == connectivity.Ready {
			return kept, nil
		}
		kept.end()
	}
	conn, err := s.connect(ctx)
	if err != nil {
		return nil, err
	}
	// Meanwhile the socket may have been replaced, and nobody could tell by which of
	// the two the connection was made.
	if again, err := nodeAt(s.path); err == nil && again == found && found.settled(l.time()) {
		conn.line, conn.node = l, found
	}
	return conn, nil
}

// swap keeps conn, and returns what was kept before.
func (l *line) swap(conn *connection) *connection {
	l.mu.Lock()
	defer l.mu.Unlock()
	conn, l.kept = l.kept, conn
	return conn
}

func (l *line) time() time.Time {
	if l.now != nil {
		return l.now()
	}
	return time.Now()
}

// Close keeps the connection for the next reading, or ends it where that can't use it.
func (c *connection) Close() {
	ended := c
	if c.line != nil && !c.failed.Load() {
		ended = c.line.swap(c)
	}
	if ended != nil {
		ended.end()
	}
}

// A node is what a path leads to. It is another one after a socket was made anew,
// moved, linked, or given other rights.
type node struct {
	device, inode uint64
	changed       int64 // ns
}

func nodeAt(path string) (node, error) {
	var stat unix.Stat_t
	if err := unix.Stat(path, &stat); err != nil {
		return node{}, err
	}
	return node{stat.Dev, stat.Ino, stat.Ctim.Nano()}, nil
}

// settled is the age from which a socket can be told from one that is made in its
// place: an inode may be given out again, and kernels stamp files by a coarse clock.
const settled = 2 * time.Second

func (n node) settled(now time.Time) bool { return now.Sub(time.Unix(0, n.changed)) >= settled }
