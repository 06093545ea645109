package keylime

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"funlab.casa/attestation_exporter/failure"
)

// A bulk is what is kept of a verifier's bulk answer.
type bulk struct {
	agents      []Agent
	interval    time.Duration // attestation_period, 0 where nobody said
	maxInterval time.Duration // maximum_attestation_interval, likewise
}

// decodeBulk reads a bulk answer, one agent at a time and never the whole document,
// which has a kilobyte an agent. Agents of another verifier on the same database are
// left out, since that one counts them. What can't be kept of an agent is named in
// an error beside the rest; an answer that breaks off yields no agents at all (nil),
// since nobody could tell those that are missing from those that are gone.
func decodeBulk(body io.Reader, verifier string) (bulk, error) {
	var (
		got      = bulk{agents: []Agent{}}
		mistakes mistakes
		ids      = map[string]int{}
	)
	source := &allowance{source: body, left: maxEntry}
	var entry json.RawMessage // one buffer for all agents
	err := eachResult(source, func(id string, decoder *json.Decoder) error {
		source.left = maxEntry
		if err := decoder.Decode(&entry); err != nil {
			return err
		}
		if len(ids) == maxAgents {
			return failure.Errorf(failure.Malformed, "more than %d agents in one answer", maxAgents)
		}
		if len(id) > maxText || id == "" {
			mistakes.note(fmt.Errorf("an agent's id has %d bytes", len(id)))
			return nil
		}
		ids[id]++
		j, wrong, err := decodeAgent(entry)
		if err != nil {
			return err
		}
		if j.VerifierID != "" && j.VerifierID != verifier {
			return nil
		}
		agent, err := agentOf(id, j, wrong)
		if err != nil {
			mistakes.note(fmt.Errorf("agent %q: %w", id, err))
		}
		got.agents = append(got.agents, agent)
		got.interval = max(got.interval, periodOf(j.Period))
		got.maxInterval = max(got.maxInterval, periodOf(j.MaxInterval))
		return nil
	})
	if err != nil {
		return bulk{}, err
	}
	got.agents = slices.DeleteFunc(got.agents, func(a Agent) bool { return ids[a.ID] > 1 })
	for id, n := range ids {
		if n > 1 {
			mistakes.note(fmt.Errorf("agent %q is there %d times, none of which can be believed", id, n))
		}
	}
	return got, mistakes.err()
}

// eachResult calls visit for every member of the object "results" in a document of
// Keylime's form, with the decoder placed before the member's value. Without that
// object it isn't one: an empty list is there, too.
func eachResult(source *allowance, visit func(key string, decoder *json.Decoder) error) error {
	decoder := json.NewDecoder(source)
	there := false
	err := eachMember(decoder, func(key string) error {
		if key != "results" {
			return decoder.Decode(new(json.RawMessage))
		}
		there = true
		return eachMember(decoder, func(key string) error { return visit(key, decoder) })
	})
	if err == nil && !there {
		return failure.Errorf(failure.Malformed, "the answer has no results")
	}
	return source.explain(err)
}

// eachMember calls visit for every member of the object that comes next.
func eachMember(decoder *json.Decoder, visit func(key string) error) error {
	token, err := decoder.Token()
	if err != nil {
		return err
	}
	if token != json.Delim('{') {
		return errors.New("not an object where one should be")
	}
	for decoder.More() {
		token, err := decoder.Token()
		if err != nil {
			return err
		}
		key, ok := token.(string)
		if !ok {
			return errors.New("a key that isn't a string")
		}
		if err := visit(key); err != nil {
			return err
		}
	}
	_, err = decoder.Token()
	return err
}

// An allowance hands on what source has, but no more bytes than are left. Whoever
// reads one agent after another grants anew for each, which bounds what one agent
// may cost without bounding how many there are.
type allowance struct {
	source io.Reader
	left   int
	err    error // the end of source, when it came
}

var errTooLong = errors.New("too long")

func (a *allowance) Read(p []byte) (int, error) {
	if a.left <= 0 {
		a.err = errTooLong
		return 0, errTooLong
	}
	n, err := a.source.Read(p[:min(len(p), a.left)])
	a.left -= n
	if err != nil {
		a.err = err
	}
	return n, err
}

// explain tells a document that is wrong from a connection that broke under it. The
// text of a JSON error isn't handed on, since it may quote the document.
func (a *allowance) explain(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(a.err, errTooLong):
		return failure.Errorf(failure.Malformed, "one entry is longer than %d bytes", maxEntry)
	case a.err != nil && !errors.Is(a.err, io.EOF):
		return fmt.Errorf("read the answer: %w", a.err)
	case failure.Of(err) == failure.Malformed:
		return err
	}
	return failure.Errorf(failure.Malformed, "the answer isn't JSON of Keylime's form")
}

// mistakes collects what is wrong with single agents, and keeps few of them: one
// fault that all of 10,000 agents share is one line in the log.
type mistakes struct {
	first []error
	more  int
}

const fewMistakes = 3

func (m *mistakes) note(err error) {
	if len(m.first) == fewMistakes {
		m.more++
		return
	}
	m.first = append(m.first, err)
}

func (m *mistakes) err() error {
	if len(m.first) == 0 {
		return nil
	}
	err := errors.Join(m.first...)
	if m.more > 0 {
		err = fmt.Errorf("%w\nand %d more", err, m.more)
	}
	return failure.Wrap(failure.Malformed, err)
}
