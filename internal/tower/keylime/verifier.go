package keylime

import (
	"context"
	"crypto/tls"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// VerifierOptions says what a verifier is.
type VerifierOptions struct {
	Address string // host:port to listen on, such as 127.0.0.1:0
	TLS     *tls.Config
	ID      string // its uuid
	// Interval is its quote_interval.
	Interval time.Duration
	// Push is push mode, in which /version is answered 410.
	Push bool
	// Versions are the API versions that it offers; none are those of 7.14.3.
	Versions []string
	// Haste divides the time after which it gives up an agent that is gone; 0 is real
	// time. One that hangs keeps its time: how old a last success may be, by which
	// that is told sooner, doesn't get shorter either.
	Haste float64
	Now   func() time.Time // nil is time.Now
}

// A Verifier is a stand-in for a verifier and its database.
type Verifier struct {
	*Server
	options VerifierOptions

	mu     sync.Mutex
	agents map[string]Agent
	others map[string]Agent // of another verifier on the same database
	locked time.Time        // when the database was locked; zero: it isn't
}

// StartVerifier starts a verifier that stops when ctx ends.
func StartVerifier(ctx context.Context, options VerifierOptions) (*Verifier, error) {
	if options.Now == nil {
		options.Now = time.Now
	}
	if len(options.Versions) == 0 {
		options.Versions = []string{"1.0", "2.0", "2.1", "2.2", "2.3", "2.4", "2.5", "2.6", "3.0"}
	}
	v := &Verifier{options: options, agents: map[string]Agent{}, others: map[string]Agent{}}
	server, err := listen(ctx, options.Address, options.TLS, http.HandlerFunc(v.route))
	if err != nil {
		return nil, fmt.Errorf("start the verifier: %w", err)
	}
	v.Server = server
	return v, nil
}

// Add adds agents, or replaces those with the same id. Of one that is there already
// only the Conduct is taken, from now on.
func (v *Verifier) Add(agents ...Agent) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, agent := range agents {
		if agent.Added.IsZero() {
			agent.Added = v.options.Now()
		}
		if agent.Since.IsZero() {
			agent.Since = agent.Added
		}
		v.agents[agent.ID] = agent
	}
}

// AddOther adds an agent of another verifier on the same database.
func (v *Verifier) AddOther(agent Agent) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.others[agent.ID] = agent
}

// Change makes an agent behave differently from now on.
func (v *Verifier) Change(id string, conduct Conduct) {
	v.mu.Lock()
	defer v.mu.Unlock()
	agent, ok := v.agents[id]
	if !ok {
		return
	}
	agent.Conduct, agent.Since = conduct, v.options.Now()
	v.agents[id] = agent
}

// Restore adds an agent anew, as delete and add do: it starts from state 1.
func (v *Verifier) Restore(id string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	agent, ok := v.agents[id]
	if !ok {
		return
	}
	agent.Conduct, agent.Added, agent.Since = Attests, v.options.Now(), v.options.Now()
	v.agents[id] = agent
}

// State is an agent's operational state; a push-mode agent, and one that the verifier
// doesn't know, have none.
func (v *Verifier) State(id string) (state int, known bool) {
	answer, ok := v.find(v.options.ID)[id]
	if !ok || answer.OperationalState == nil {
		return 0, false
	}
	return *answer.OperationalState, true
}

// Remove deletes an agent.
func (v *Verifier) Remove(id string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.agents, id)
}

// Lock locks the database for a moment that is over again: every polling loop ended
// in it, and nothing but a restart brings them back.
func (v *Verifier) Lock() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.locked = v.options.Now()
}

// Restart restarts the verifier: polling goes on where agents were active.
func (v *Verifier) Restart() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.locked = time.Time{}
}

func (v *Verifier) route(w http.ResponseWriter, r *http.Request) {
	if !wellFormed(w, r) {
		return
	}
	if r.URL.Path == "/version" {
		v.version(w)
		return
	}
	version, rest, found := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v"), "/")
	id, isAgents := strings.CutPrefix(rest, "agents/")
	if !found || !isAgents || !slices.Contains(v.options.Versions, version) || strings.HasPrefix(version, "1.") {
		answer(w, http.StatusNotFound, "text/html; charset=UTF-8", "")
		return
	}
	if strings.HasPrefix(version, "3.") {
		answer(w, http.StatusInternalServerError, "text/html; charset=UTF-8", "")
		return
	}
	if id != "" {
		v.single(w, r, id)
		return
	}
	v.list(w, r)
}

func (v *Verifier) version(w http.ResponseWriter) {
	if v.options.Push {
		indented(w, http.StatusGone, "Gone", nothing{})
		return
	}
	enveloped(w, http.StatusOK, "Success", offer(v.options.Versions))
}

func offer(versions []string) any {
	current := versions[len(versions)-1]
	for _, version := range versions {
		if strings.HasPrefix(version, "2.") {
			current = version
		}
	}
	return struct {
		Current   string   `json:"current_version"`
		Supported []string `json:"supported_versions"`
	}{current, versions}
}

func (v *Verifier) list(w http.ResponseWriter, r *http.Request) {
	if !admitted(w, r, "list_agents") {
		return
	}
	query := r.URL.Query()
	found := v.find(query.Get("verifier"))
	if query.Get("bulk") != "" {
		enveloped(w, http.StatusOK, "Success", found)
		return
	}
	uuids := [][]string{}
	for _, id := range slices.Sorted(maps.Keys(found)) {
		uuids = append(uuids, []string{id})
	}
	enveloped(w, http.StatusOK, "Success", map[string][][]string{"uuids": uuids})
}

func (v *Verifier) single(w http.ResponseWriter, r *http.Request, id string) {
	if !admitted(w, r, "read_agent") {
		return
	}
	agent, ok := v.find("")[id]
	if !ok {
		enveloped(w, http.StatusNotFound, "agent id not found", nothing{})
		return
	}
	enveloped(w, http.StatusOK, "Success", agent)
}

// find renders the agents of one verifier on the database, or of all.
func (v *Verifier) find(verifier string) map[string]agentAnswer {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := v.options.Now()
	if !v.locked.IsZero() {
		now = v.locked
	}
	found := map[string]agentAnswer{}
	if verifier == "" || verifier == v.options.ID {
		for id, agent := range v.agents {
			found[id] = v.render(agent, now, v.options.ID)
		}
	}
	if verifier == "" || verifier != v.options.ID {
		for id, agent := range v.others {
			if verifier == "" || verifier == "other" {
				found[id] = v.render(agent, now, "other")
			}
		}
	}
	return found
}

// An agentAnswer has the members of a real answer, in their order.
type agentAnswer struct {
	OperationalState *int     `json:"operational_state"`
	V                *string  `json:"v"`
	IP               *string  `json:"ip"`
	Port             *int     `json:"port"`
	TPMPolicy        string   `json:"tpm_policy"`
	MetaData         string   `json:"meta_data"`
	HasMBRefstate    int      `json:"has_mb_refstate"`
	HasRuntimePolicy int      `json:"has_runtime_policy"`
	AcceptHash       []string `json:"accept_tpm_hash_algs"`
	AcceptEncryption []string `json:"accept_tpm_encryption_algs"`
	AcceptSigning    []string `json:"accept_tpm_signing_algs"`
	HashAlg          string   `json:"hash_alg"`
	EncAlg           string   `json:"enc_alg"`
	SignAlg          string   `json:"sign_alg"`
	VerifierID       string   `json:"verifier_id"`
	VerifierIP       string   `json:"verifier_ip"`
	VerifierPort     int      `json:"verifier_port"`
	SeverityLevel    *int     `json:"severity_level"`
	LastEventID      *string  `json:"last_event_id"`
	AttestationCount int      `json:"attestation_count"`
	LastQuote        int64    `json:"last_received_quote"`
	LastSuccess      int64    `json:"last_successful_attestation"`
	Status           string   `json:"attestation_status"`
	Period           string   `json:"attestation_period"`
	MaxInterval      string   `json:"maximum_attestation_interval"`
}

func (v *Verifier) render(agent Agent, now time.Time, verifier string) agentAnswer {
	p := agent.at(now, v.options.Interval, scale(v.options.Haste))
	a := agentAnswer{
		OperationalState: p.state,
		TPMPolicy:        `{"0": ["` + strings.Repeat("0", 64) + `"], "mask": "0x95"}`,
		MetaData:         "{}",
		HasRuntimePolicy: 1,
		AcceptHash:       []string{"sha512", "sha384", "sha256"},
		AcceptEncryption: []string{"ecc", "rsa"},
		AcceptSigning:    []string{"ecschnorr", "rsassa"},
		VerifierID:       verifier,
		VerifierIP:       "127.0.0.1",
		VerifierPort:     8881,
		AttestationCount: p.count,
		LastQuote:        unix(p.quote),
		LastSuccess:      unix(p.success),
		Status:           p.status,
		Period:           seconds(v.options.Interval),
		MaxInterval:      seconds(5 * v.options.Interval),
	}
	if p.count > 0 && !agent.pushes() {
		a.HashAlg, a.EncAlg, a.SignAlg = "sha256", "rsa2048", "rsassa"
	}
	if !agent.pushes() {
		a.IP, a.Port = &agent.IP, &agent.Port
	}
	if agent.V != "" {
		a.V = &agent.V
	}
	if p.event != "" {
		a.SeverityLevel, a.LastEventID = number(6), &p.event
	}
	return a
}

// unix is a moment as Keylime stores it: whole seconds, and 0 for never.
func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

// seconds is a period as Keylime writes it, without its fraction.
func seconds(d time.Duration) string {
	return fmt.Sprintf("%ds", int64(d/time.Second))
}
