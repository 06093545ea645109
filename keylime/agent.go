package keylime

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"funlab.casa/attestation_exporter/failure"
)

// An Agent is what a verifier says of one agent (keylime/cloud_verifier_common.py,
// process_get_status).
type Agent struct {
	ID       string
	Verifier string // verifier_id: who polls it
	Address  string // host:port; empty in push mode
	Mode     Mode
	State    *State // nil for one that was never polled
	Verdict  Verdict

	// Event is the reason of the last failure, from a bounded set. Keylime never
	// clears it, so it is only given where the agent's state is a failure, and even
	// then it may be another agent's: the verifier shares one list between agents
	// that it couldn't reach.
	Event string

	// Attestations counts the successful ones. It starts again after delete and
	// add, and may fall when a verifier's worker restarts.
	Attestations *uint64
	// LastQuote and LastSuccess are moments of the verifier's clock in whole
	// seconds, and zero where there was none.
	LastQuote   time.Time
	LastSuccess time.Time

	HashAlg, EncAlg, SignAlg string
	// RuntimePolicy and MeasuredBootPolicy say whether it is held to one.
	RuntimePolicy, MeasuredBootPolicy *bool
}

// agentJSON is the allow-list of what is decoded. In particular "v", half of the
// key to the agent's payload, stays undecoded, as do its policy and metadata.
type agentJSON struct {
	OperationalState *int    `json:"operational_state"`
	IP               *string `json:"ip"`
	Port             *int    `json:"port"`
	HasMBPolicy      *int    `json:"has_mb_refstate"`
	HasRuntimePolicy *int    `json:"has_runtime_policy"`
	HashAlg          string  `json:"hash_alg"`
	EncAlg           string  `json:"enc_alg"`
	SignAlg          string  `json:"sign_alg"`
	VerifierID       string  `json:"verifier_id"`
	LastEventID      string  `json:"last_event_id"`
	Count            *int64  `json:"attestation_count"`
	LastQuote        *int64  `json:"last_received_quote"`
	LastSuccess      *int64  `json:"last_successful_attestation"`
	Status           *string `json:"attestation_status"`
	Period           string  `json:"attestation_period"`
	MaxInterval      string  `json:"maximum_attestation_interval"`
}

// maxMoment is the end of the year 9999, the last that RFC 3339 can write.
const maxMoment = 253402300799

// agentOf turns a decoded agent into an Agent and says which of its fields made no
// sense, beside those known to be wrong already; all of them are missing from it.
func agentOf(id string, j agentJSON, wrong []string) (Agent, error) {
	var odd []string
	agent := Agent{
		ID:       id,
		Verifier: bounded(j.VerifierID, "verifier_id", &odd),
		HashAlg:  bounded(j.HashAlg, "hash_alg", &odd),
		EncAlg:   bounded(j.EncAlg, "enc_alg", &odd),
		SignAlg:  bounded(j.SignAlg, "sign_alg", &odd),

		State:        stateOf(j.OperationalState, &odd),
		Attestations: counted(j.Count, &odd),
		LastQuote:    momentOf(j.LastQuote, "last_received_quote", &odd),
		LastSuccess:  momentOf(j.LastSuccess, "last_successful_attestation", &odd),

		RuntimePolicy:      holds(j.HasRuntimePolicy),
		MeasuredBootPolicy: holds(j.HasMBPolicy),
	}
	agent.Mode = modeOf(agent.State, j.IP, j.Port)
	agent.Verdict = verdictOf(j.Status, agent.Mode, agent.State, &odd)
	if j.IP != nil && j.Port != nil {
		agent.Address = net.JoinHostPort(bounded(*j.IP, "ip", &odd), strconv.Itoa(*j.Port))
	}
	if agent.failed() {
		agent.Event = boundedEvent(j.LastEventID)
	}
	var mistakes []error
	if len(wrong) > 0 {
		mistakes = append(mistakes, fmt.Errorf("%s of the wrong type", strings.Join(wrong, ", ")))
	}
	if len(odd) > 0 {
		mistakes = append(mistakes, fmt.Errorf("%s out of range", strings.Join(odd, ", ")))
	}
	return agent, failure.Wrap(failure.Malformed, errors.Join(mistakes...))
}

// failed reports whether the verifier's event is about the agent as it is now.
func (a *Agent) failed() bool {
	if a.Mode == Push && a.Verdict == Fail {
		return true
	}
	return a.State != nil && (*a.State == Failed || *a.State == InvalidQuote)
}

func bounded(text, field string, odd *[]string) string {
	if len(text) > maxText {
		*odd = append(*odd, field)
		return ""
	}
	return text
}

func stateOf(number *int, odd *[]string) *State {
	if number == nil {
		return nil
	}
	if *number < 0 || *number > maxState {
		*odd = append(*odd, "operational_state")
		return nil
	}
	state := State(*number)
	return &state
}

func counted(number *int64, odd *[]string) *uint64 {
	if number == nil {
		return nil
	}
	if *number < 0 {
		*odd = append(*odd, "attestation_count")
		return nil
	}
	count := uint64(*number)
	return &count
}

// momentOf reads a moment in Unix seconds. Never is 0, and null in databases that
// were migrated from older releases.
func momentOf(seconds *int64, field string, odd *[]string) time.Time {
	if seconds == nil || *seconds == 0 {
		return time.Time{}
	}
	if *seconds < 0 || *seconds > maxMoment {
		*odd = append(*odd, field)
		return time.Time{}
	}
	return time.Unix(*seconds, 0).UTC()
}

// holds reads one of Keylime's flags, which are 0 or 1.
func holds(flag *int) *bool {
	if flag == nil {
		return nil
	}
	set := *flag != 0
	return &set
}

// periodOf reads a period such as "10s". Keylime cuts fractions off, so "0s" is a
// period below one second and as unknown as a text that is none.
func periodOf(text string) time.Duration {
	period, err := time.ParseDuration(text)
	if err != nil || period <= 0 {
		return 0
	}
	return period
}

// decodeAgent decodes one agent and says which of its fields had the wrong type. A
// decoder leaves zeros behind in those, and 0 is a state, so they are taken out and
// the rest is decoded anew.
func decodeAgent(text []byte) (agentJSON, []string, error) {
	var (
		agent agentJSON
		wrong []string
	)
	err := json.Unmarshal(text, &agent)
	for err != nil {
		var mistake *json.UnmarshalTypeError
		if !errors.As(err, &mistake) {
			return agentJSON{}, nil, err
		}
		rest, ok := without(text, mistake.Field)
		if !ok {
			return agentJSON{}, append(wrong, "the whole"), nil
		}
		wrong, text, agent = append(wrong, mistake.Field), rest, agentJSON{}
		err = json.Unmarshal(text, &agent)
	}
	return agent, wrong, nil
}

// without takes a member out of a JSON object, and reports whether it was there.
func without(object []byte, member string) ([]byte, bool) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(object, &members); err != nil {
		return nil, false
	}
	if _, ok := members[member]; !ok {
		return nil, false
	}
	delete(members, member)
	rest, err := json.Marshal(members)
	return rest, err == nil
}
