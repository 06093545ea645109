package status

import (
	"cmp"
	"fmt"
	"slices"
)

// A State is what a monitoring plugin may say; its number is the exit status.
type State int

// The states, in the plugins' numbering.
const (
	OK State = iota
	Warning
	Critical
	Unknown
)

// String returns the plugins' word for the state.
func (s State) String() string {
	switch s {
	case OK:
		return "OK"
	case Warning:
		return "WARNING"
	case Critical:
		return "CRITICAL"
	case Unknown:
		return "UNKNOWN"
	}
	return fmt.Sprintf("state %d", int(s))
}

// MarshalText writes the word into JSON.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// urgency orders states. What is known to be broken comes before what can't be
// told, as in the plugins' own rule for several answers.
func (s State) urgency() int {
	return slices.Index([]State{OK, Unknown, Warning, Critical}, s)
}

// worst returns the most urgent of two states.
func worst(a, b State) State {
	if a.urgency() > b.urgency() {
		return a
	}
	return b
}

func byUrgency(a, b State) int { return cmp.Compare(b.urgency(), a.urgency()) }
