package reader

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"funlab.casa/attestation_exporter/failure"
)

const (
	maxConnections = 32
	questionTime   = 2 * time.Second // for the caller to ask, and to take the answer
	// DefaultDeadline bounds one reading. The caller's own deadline is mostly
	// shorter, and shows as a closed connection.
	DefaultDeadline = 30 * time.Second
)

// A Question is something that a Server can be asked.
type Question struct {
	name   string
	absent error
	read   func(context.Context) (any, error)
	// slot is held while the question is being answered, by a reading that can't be
	// cancelled until it returns.
	slot chan struct{}
}

// NewQuestion makes a question that is answered by read. The error absent means
// that the host hasn't got what is asked about.
func NewQuestion[R any](name string, absent error, read func(context.Context) (R, error)) *Question {
	return &Question{
		name:   name,
		absent: absent,
		read:   func(ctx context.Context) (any, error) { return read(ctx) },
		slot:   make(chan struct{}, 1),
	}
}

// A Server answers questions on a Unix socket.
type Server struct {
	Version   string
	Questions []*Question
	// Allowed are the users who may ask, by number.
	Allowed  []uint32
	Deadline time.Duration
	Logger   *slog.Logger
}

// Serve answers until ctx ends, and returns when the last answer is given. A
// reading that can't be cancelled is left behind.
func (s Server) Serve(ctx context.Context, listener *net.UnixListener) error {
	stop := context.AfterFunc(ctx, func() { _ = listener.Close() })
	defer stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	places := make(chan struct{}, maxConnections)
	for {
		places <- struct{}{}
		conn, err := listener.AcceptUnix()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("accept: %w", err)
		}
		wg.Go(func() {
			defer func() { <-places }()
			s.serve(ctx, conn)
		})
	}
}

// serve answers one caller.
func (s Server) serve(ctx context.Context, conn *net.UnixConn) {
	defer conn.Close() //nolint:errcheck // the answer was flushed, or nobody wants it
	// The question is read before a stranger is refused: closing a socket with
	// something unread in it would take the answer away, too.
	name, err := s.listen(conn)
	if uid, peerErr := peerUID(conn); peerErr != nil || !slices.Contains(s.Allowed, uid) {
		s.Logger.Warn("Caller refused", "uid", uid, "err", peerErr)
		s.write(conn, answer{Failure: &trouble{failure.Permission, fmt.Sprintf("user %d may not ask the reader", uid)}})
		return
	}
	if err != nil {
		s.write(conn, answer{Failure: troubleOf(err)})
		return
	}
	if name == greeting {
		s.write(conn, answer{Reading: struct{}{}})
		return
	}
	i := slices.IndexFunc(s.Questions, func(q *Question) bool { return q.name == name })
	if i < 0 {
		// The caller is of this version, so it knows all questions, too.
		s.write(conn, answer{Failure: &trouble{failure.Permission, "the reader's command line leaves this question out"}})
		return
	}
	ctx, cancel := context.WithTimeout(ctx, s.Deadline)
	defer cancel()
	go func() { // A caller who goes away ends the reading. Closing conn ends this.
		_, _ = io.Copy(io.Discard, conn)
		cancel()
	}()
	s.write(conn, s.Questions[i].answer(ctx, s.Logger))
}

// listen reads the question. The answer to another version says so, and no more.
func (s Server) listen(conn net.Conn) (string, error) {
	if err := conn.SetReadDeadline(time.Now().Add(questionTime)); err != nil {
		return "", err
	}
	line, err := bufio.NewReaderSize(io.LimitReader(conn, maxQuestion), maxQuestion).ReadBytes('\n')
	if err != nil {
		return "", failure.Errorf(failure.Malformed, "no question: %w", err)
	}
	var q question
	if err := json.Unmarshal(line, &q); err != nil {
		return "", failure.Errorf(failure.Malformed, "not a question")
	}
	if q.Version != s.Version {
		return "", failure.Errorf(failure.Malformed, "not the exporter's version")
	}
	return q.Question, conn.SetReadDeadline(time.Time{})
}

func (s Server) write(conn net.Conn, a answer) {
	content, err := s.encode(a)
	if err != nil {
		s.Logger.Error("Answer can't be given", "err", err)
		if content, err = s.encode(answer{Failure: troubleOf(err)}); err != nil {
			return
		}
	}
	if err := conn.SetWriteDeadline(time.Now().Add(questionTime)); err != nil {
		return
	}
	if _, err := conn.Write(content); err != nil {
		s.Logger.Debug("Caller did not take the answer", "err", err)
	}
}

func (s Server) encode(a answer) ([]byte, error) {
	a.Version = s.Version
	content, err := json.Marshal(a)
	if err != nil {
		return nil, err
	}
	return content, checkSize(content)
}

// answer reads for one caller at a time, and until ctx ends.
func (q *Question) answer(ctx context.Context, logger *slog.Logger) answer {
	select {
	case q.slot <- struct{}{}:
	case <-ctx.Done():
		return answer{Failure: troubleOf(fmt.Errorf("wait for an earlier answer on %s: %w", q.name, ctx.Err()))}
	}
	done := make(chan answer, 1)
	go func() {
		defer func() { <-q.slot }()
		done <- q.ask(ctx, logger)
	}()
	select {
	case a := <-done:
		return a
	case <-ctx.Done():
		return answer{Failure: troubleOf(fmt.Errorf("read %s: %w", q.name, ctx.Err()))}
	}
}

// ask reads, and survives a reading that panics.
func (q *Question) ask(ctx context.Context, logger *slog.Logger) (a answer) {
	defer func() {
		if p := recover(); p != nil {
			logger.Error("Reading panicked", "question", q.name, "panic", p, "stack", string(debug.Stack()))
			a = answer{Failure: &trouble{failure.Internal, "panic while reading " + q.name}}
		}
	}()
	reading, err := q.read(ctx)
	if err != nil && errors.Is(err, q.absent) {
		return answer{Absent: true}
	}
	a.Reading = reading
	if err != nil {
		a.Failure = troubleOf(err)
	}
	return a
}
