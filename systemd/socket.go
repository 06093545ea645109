package systemd

import (
	"bufio"
	"net"
	"sync/atomic"

	"funlab.casa/attestation_exporter/failure"
)

// maxBytes bounds what one reading may receive. A timer and its service are about
// 20 kB of properties, so it is some more than what maxTimers of them take.
const maxBytes = 16 << 20

var errTooMuch = failure.Errorf(failure.Malformed, "the bus sent more than %d bytes in one reading", maxBytes)

// A socket refuses to read past an allowance. It reads ahead, since the D-Bus
// library takes a message apart in reads of a few bytes.
type socket struct {
	net.Conn
	ahead     *bufio.Reader
	allowance atomic.Int64
}

func newSocket(conn net.Conn) *socket {
	s := &socket{Conn: conn, ahead: bufio.NewReaderSize(conn, 1<<15)}
	s.renew()
	return s
}

func (s *socket) Read(b []byte) (int, error) {
	n, err := s.ahead.Read(b)
	if s.allowance.Add(-int64(n)) < 0 {
		return 0, errTooMuch
	}
	return n, err
}

// renew grants the whole allowance again.
func (s *socket) renew() { s.allowance.Store(maxBytes) }
