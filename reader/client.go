package reader

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"funlab.casa/attestation_exporter/failure"
)

// DefaultSocket is where the reader's socket unit listens.
const DefaultSocket = "/run/attestation_exporter/reader.sock"

// A Client asks the reader at a socket.
type Client struct {
	Socket  string
	Version string
}

// Present tells whether there is a reader's socket.
func (c Client) Present() bool {
	info, err := os.Stat(c.Socket)
	return err == nil && info.Mode()&os.ModeSocket != 0
}

// Greet asks the reader for nothing but an answer.
func (c Client) Greet(ctx context.Context) error {
	if !c.Present() {
		return ErrAbsent
	}
	_, err := Ask[struct{}](c, greeting, ErrAbsent)(ctx)
	return err
}

// Ask makes a source of the question. Where the host hasn't got what is asked
// about, the source's error is absent; otherwise a reading may come with an error
// for the part that could not be read.
func Ask[R any](c Client, name string, absent error) func(context.Context) (R, error) {
	return func(ctx context.Context) (R, error) {
		var none R
		content, err := c.ask(ctx, name)
		if err != nil {
			return none, fmt.Errorf("ask the reader for %s: %w", name, err)
		}
		// An answer is decoded in one go: a large one takes as long as all the rest.
		// Another version may have another shape, and is the better explanation.
		var a struct {
			answer
			Reading R `json:"reading"`
		}
		err = json.Unmarshal(content, &a)
		switch {
		case a.Version != c.Version && (err == nil || a.Version != ""):
			return none, failure.Errorf(failure.Malformed, "ask the reader for %s: it is version %q and the exporter is %q: restart the one that is older", name, a.Version, c.Version)
		case err != nil:
			return none, failure.Errorf(failure.Malformed, "the reader's answer on %s, of %d bytes: %w", name, len(content), err)
		case a.Absent:
			return none, absent
		case a.Failure != nil:
			return a.Reading, a.Failure.error()
		}
		return a.Reading, nil
	}
}

func (c Client) ask(ctx context.Context, name string) ([]byte, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", c.Socket)
	if err != nil {
		return nil, err
	}
	defer conn.Close() //nolint:errcheck // all has been read
	stop := context.AfterFunc(ctx, func() {
		_ = conn.SetDeadline(time.Unix(1, 0)) // long past: what is under way ends now
	})
	defer stop()
	content, err := exchange(conn, question{c.Version, name})
	if err != nil && ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return content, err
}

func exchange(conn net.Conn, q question) ([]byte, error) {
	line, err := json.Marshal(q)
	if err != nil {
		return nil, err
	}
	if _, err := conn.Write(append(line, '\n')); err != nil {
		return nil, err
	}
	content, err := io.ReadAll(io.LimitReader(conn, maxAnswer+1))
	switch {
	case err != nil:
		return nil, err
	case len(content) == 0:
		return nil, io.ErrUnexpectedEOF
	}
	return content, checkSize(content)
}
