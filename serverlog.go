package main

import (
	"bytes"
	"log"
	"log/slog"
)

// maxServerLine bounds what one line of net/http's takes from a client.
const maxServerLine = 512

// A serverLog sorts the lines that net/http's server writes. What goes wrong with a
// client is the client's, and anybody may be one: it shows at debug level only. What
// hinders the server itself is said in any case, and a panic with its whole stack.
type serverLog struct{ logger *slog.Logger }

func newServerLog(logger *slog.Logger) *log.Logger { return log.New(serverLog{logger}, "", 0) }

// Write logs one line. slog quotes what can't be printed.
func (l serverLog) Write(line []byte) (int, error) {
	text := bytes.TrimRight(line, "\n")
	switch {
	case bytes.HasPrefix(text, []byte("http: panic serving ")):
		l.logger.Error("Panic in serving a request", "err", string(text))
	case bytes.HasPrefix(text, []byte("http: Accept error: ")):
		l.logger.Error("No connection can be accepted", "err", string(text))
	default:
		l.logger.Debug("A client was in trouble", "err", string(text[:min(len(text), maxServerLine)]))
	}
	return len(line), nil
}
