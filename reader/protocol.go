// Package reader is the privileged half of the exporter: a server that holds the
// rights which reading needs, and the client in the process that faces the
// network.
//
// The server knows a fixed list of questions and answers each with a source
// package's plain struct. Nothing else crosses the line: no path, no pattern, no
// limit comes from the caller, who can choose a question's name and no more. The
// package does not know what the questions are about, so each source must keep
// secrets out of its readings and its errors itself.
package reader

import (
	"bytes"
	"errors"
	"strings"

	"funlab.casa/attestation_exporter/failure"
)

// One connection carries one question, in JSON with a newline behind it, and one
// answer, in JSON up to the end of the stream.
const (
	maxQuestion = 512
	maxAnswer   = 32 << 20
	// maxValues bounds what an answer can grow to in memory, where an element of a
	// list takes a hundred times the bytes of its empty JSON object. 10,000 agents
	// have 90,000 values.
	maxValues = 1 << 20
	maxText   = 1 << 10
)

// greeting is the question that every reader answers, whatever else it does.
const greeting = "greeting"

// ErrAbsent says that there is no reader on this host.
var ErrAbsent = errors.New("no reader on this host")

type question struct {
	// Version is that of the asking program. A struct may have changed from one
	// version to the next, and a field that is quietly missing would be taken for
	// a thing that isn't there.
	Version  string `json:"version"`
	Question string `json:"question"`
}

type answer struct {
	Version string `json:"version"`
	Reading any    `json:"reading,omitempty"`
	// Absent says that the host hasn't got what was asked about.
	Absent  bool     `json:"absent,omitempty"`
	Failure *trouble `json:"failure,omitempty"`
}

// checkSize refuses an answer that is too long, or has more values in it than any
// host's. Each element and each field but the first has a comma before it; those
// within strings count, too, which does no harm.
func checkSize(content []byte) error {
	if len(content) > maxAnswer {
		return failure.Errorf(failure.Malformed, "answer has more than %d bytes", maxAnswer)
	}
	if values := bytes.Count(content, []byte(",")); values > maxValues {
		return failure.Errorf(failure.Malformed, "answer has %d values, more than %d", values, maxValues)
	}
	return nil
}

// A trouble is an error on the wire. A reading may come with one.
type trouble struct {
	Reason failure.Reason `json:"reason"`
	Text   string         `json:"text"`
}

func troubleOf(err error) *trouble {
	text := strings.ToValidUTF8(strings.ReplaceAll(err.Error(), "\n", "; "), "\uFFFD")
	if len(text) > maxText {
		text = strings.ToValidUTF8(text[:maxText], "") + "…"
	}
	return &trouble{failure.Of(err), text}
}

// error turns a trouble into an error again. A reason that nobody knows here would
// become the value of a label: it is an internal failure.
func (t trouble) error() error {
	for _, known := range failure.Reasons() {
		if t.Reason == known {
			return failure.Wrap(known, errors.New(t.Text))
		}
	}
	return failure.Wrap(failure.Internal, errors.New(t.Text))
}
