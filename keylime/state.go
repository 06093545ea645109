package keylime

import (
	"slices"
	"strconv"
)

// A State is Keylime's operational_state, a small number (keylime/common/states.py).
// Numbers that this list doesn't know are kept as they are.
type State int

// The states. Only Start, GetQuote, ProvideV, Failed, Terminated, InvalidQuote and
// TenantFailed are ever written by a verifier of release 7.14: retries are stored
// as the state that is tried again.
const (
	Registered State = iota
	Start
	Saved
	GetQuote
	GetQuoteRetry
	ProvideV
	ProvideVRetry
	Failed       // unreachable, or its answers were unusable; it isn't asked again
	Terminated   // deleted while a quote is under way
	InvalidQuote // the quote or what it proves was refused; it isn't asked again
	TenantFailed // stopped on request; it isn't asked again
)

// maxState bounds what is taken for a state, since each becomes a series.
const maxState = 255

// States returns all known states in Keylime's order.
func States() []State {
	return []State{
		Registered, Start, Saved, GetQuote, GetQuoteRetry, ProvideV, ProvideVRetry,
		Failed, Terminated, InvalidQuote, TenantFailed,
	}
}

// String returns the state's name, or its number where it has none.
func (s State) String() string {
	names := []string{
		"registered", "start", "saved", "get_quote", "get_quote_retry", "provide_v", "provide_v_retry",
		"failed", "terminated", "invalid_quote", "tenant_failed",
	}
	if s < 0 || int(s) >= len(names) {
		return strconv.Itoa(int(s))
	}
	return names[s]
}

// A Mode says who begins: the verifier that pulls quotes, or the agent that pushes
// them.
type Mode string

// The modes.
const (
	Pull Mode = "pull"
	Push Mode = "push"
)

// modeOf applies Keylime's own rule (keylime/agent_util.py, is_push_mode_agent): an
// agent without a state, or without an address, is never polled.
func modeOf(state *State, ip *string, port *int) Mode {
	if state == nil || ip == nil && port == nil {
		return Push
	}
	return Pull
}

// A Verdict is Keylime's attestation_status. It is no evidence of a recent
// attestation: a verifier computes it from the state, which stays GetQuote while an
// agent hangs and after polling stopped for good.
type Verdict string

// The verdicts. Timeout occurs in push mode only.
const (
	Pass    Verdict = "PASS"
	Fail    Verdict = "FAIL"
	Pending Verdict = "PENDING"
	Timeout Verdict = "TIMEOUT"
)

// verdictOf returns what the verifier said, or derives it as releases from 7.14 on
// do where an older one said nothing. In push mode only the verifier can know. It is
// empty where the verifier said something else.
func verdictOf(said *string, mode Mode, state *State, odd *[]string) Verdict {
	switch {
	case said != nil:
		if !slices.Contains([]Verdict{Pass, Fail, Pending, Timeout}, Verdict(*said)) {
			*odd = append(*odd, "attestation_status")
			return ""
		}
		return Verdict(*said)
	case mode == Push || state == nil:
		return Pending
	case slices.Contains([]State{GetQuote, GetQuoteRetry, ProvideV, ProvideVRetry}, *state):
		return Pass
	case slices.Contains([]State{Failed, InvalidQuote, TenantFailed}, *state):
		return Fail
	}
	return Pending
}
