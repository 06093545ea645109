package keylime

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/config"

	"funlab.casa/attestation_exporter/duty"
	"funlab.casa/attestation_exporter/failure"
)

// A RegistrarReading says who registered.
type RegistrarReading struct {
	// Up says that the registrar answered with its list.
	Up bool
	// Activated holds the ids of agents that proved to be on the TPM that they
	// registered with, sorted, and no more of them than the limit.
	Activated []string
	// ActivatedAgents, OtherAgents and UnknownAgents count those who are activated,
	// those who aren't (anybody may register), and those who weren't asked about yet.
	ActivatedAgents, OtherAgents, UnknownAgents int
}

// RegistrarOptions says which registrar is read, and how. What is left out is found
// in Keylime's configuration files.
type RegistrarOptions struct {
	URL  string
	HTTP *config.HTTPClientConfig // as VerifierOptions.HTTP
	// MaxAgents is how many ids a reading may hold.
	MaxAgents int
	// Settings reads registrar.conf, as Files.Registrar does.
	Settings func(context.Context) (RegistrarSettings, error)
}

// questions is how many single agents one reading asks about, some 2 ms each. Fleets
// up to this size are asked about wholly at each reading; 10,000 agents take 50
// readings, and are then as old as that.
const questions = 200

// timeForQuestions ends the questions of one reading where an answer takes longer
// than that.
const timeForQuestions = 2 * time.Second

// A Registrar reads one registrar. Its list holds all who registered, activated or
// not, and only the single GET tells them apart. It therefore asks about some agents
// at each reading, those first that it knows least about, and remembers the rest.
type Registrar struct {
	options RegistrarOptions
	client  *client
	limit   *duty.Limit[RegistrarReading]

	// The rest belongs to the one reading that is under way.
	api      api
	patience time.Duration
	known    map[string]registration
}

// A registration is what was learnt of one agent.
type registration struct {
	standing standing
	asked    time.Time // zero: never
}

// A standing says how far an agent came in registering.
type standing int

const (
	notKnown standing = iota
	notActivated
	activated
)

// NewRegistrar makes a Registrar. It reads nothing yet.
func NewRegistrar(options RegistrarOptions) (*Registrar, error) {
	if err := checkOptions(options.URL, options.HTTP); err != nil {
		return nil, err
	}
	r := &Registrar{
		options:  options,
		client:   &client{config: options.HTTP},
		patience: firstPatience,
		known:    map[string]registration{},
	}
	r.limit = duty.New(longestPatience, r.readOnce)
	return r, nil
}

// Read returns what the registrar says now, or said in a reading that is still to be
// served. A part comes with the error of the rest.
func (r *Registrar) Read(ctx context.Context) (RegistrarReading, error) {
	return r.limit.Read(ctx)
}

func (r *Registrar) readOnce(ctx context.Context) (RegistrarReading, error) {
	target, err := r.target(ctx)
	if err != nil {
		return RegistrarReading{}, err
	}
	if r.api.base != target || r.api.client == nil {
		r.api, r.known = api{base: target, client: r.client}, map[string]registration{}
	}

	patient, cancel := context.WithTimeout(ctx, r.patience)
	defer cancel()
	begin := time.Now()
	err = impatient(patient, r.list(patient))
	r.patience = nextPatience(r.patience, time.Since(begin), err != nil && failure.Of(err) == failure.Timeout)
	if err != nil {
		return RegistrarReading{}, fmt.Errorf("registrar %s: %w", target.Redacted(), err)
	}
	err = impatient(ctx, r.inquire(ctx))
	reading, tooMany := summary(r.known, r.options.MaxAgents)
	if err = errors.Join(err, tooMany); err != nil {
		err = fmt.Errorf("registrar %s: %w", target.Redacted(), err)
	}
	return reading, err
}

// target finds out which registrar to read.
func (r *Registrar) target(ctx context.Context) (url.URL, error) {
	if r.options.HTTP == nil {
		return url.URL{}, fmt.Errorf("no HTTP configuration with a client certificate was given: %w", ErrAbsent)
	}
	if r.options.URL != "" {
		return parseURL(r.options.URL)
	}
	settings, err := ask(ctx, r.options.Settings)
	if err != nil {
		return url.URL{}, err
	}
	return parseURL(settings.URL.String())
}

// list takes up who registered since the last reading and forgets who is gone.
func (r *Registrar) list(ctx context.Context) error {
	response, err := r.api.agents(ctx, "", nil)
	if err != nil {
		return err
	}
	defer response.Body.Close() //nolint:errcheck // Nothing was written.
	ids, err := decodeList(response.Body)
	if err != nil {
		return err
	}
	known := make(map[string]registration, len(ids))
	for _, id := range ids {
		known[id] = r.known[id]
	}
	r.known = known
	return nil
}

// inquire asks about those who weren't asked about for longest. It stops at the
// first answer that says nothing about an agent, and when its time is over: what was
// known of the others still is.
func (r *Registrar) inquire(ctx context.Context) error {
	begin := time.Now()
	for _, id := range due(r.known, questions) {
		if time.Since(begin) > timeForQuestions {
			break
		}
		found, err := r.standing(ctx, id)
		if err != nil {
			return fmt.Errorf("ask about agent %q: %w", id, err)
		}
		r.known[id] = registration{standing: found, asked: time.Now()}
	}
	return nil
}

// standing asks about one agent. The registrar answers 404 to three things that only
// its text tells apart: unknown (and then the next list won't have it), registered
// without activation, and the same in the words of releases before 7.12.
func (r *Registrar) standing(ctx context.Context, id string) (standing, error) {
	if !askable(id) {
		return notKnown, nil
	}
	ctx, cancel := context.WithTimeout(ctx, shortestPatience)
	defer cancel()
	response, err := r.api.agents(ctx, id, nil)
	if answered(err, http.StatusNotFound) {
		text := err.Error()
		if strings.Contains(text, "not been activated") || strings.Contains(text, "not yet active") {
			return notActivated, nil
		}
		return notKnown, nil
	}
	if err != nil {
		return notKnown, err
	}
	defer response.Body.Close() //nolint:errcheck // Nothing was written.
	// Read to its end, so that the connection is used again, and thrown away.
	if _, err := io.Copy(io.Discard, io.LimitReader(response.Body, maxEntry)); err != nil {
		return notKnown, fmt.Errorf("read the answer: %w", err)
	}
	return activated, nil
}

// askable reports whether id may stand in a URL: Keylime's own rule for ids, in
// ASCII (keylime/common/validators.py). Whoever registers chooses it.
func askable(id string) bool {
	strange := func(r rune) bool {
		plain := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
		return !plain && !strings.ContainsRune("_.-", r)
	}
	return !strings.ContainsFunc(id, strange) && strings.Trim(id, ".") != ""
}

// due returns the n agents that were asked about least recently.
func due(known map[string]registration, n int) []string {
	ids := make([]string, 0, len(known))
	for id := range known {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b string) int {
		return cmp.Or(known[a].asked.Compare(known[b].asked), strings.Compare(a, b))
	})
	return ids[:min(n, len(ids))]
}

// summary turns what is known into a reading of at most limit ids.
func summary(known map[string]registration, limit int) (RegistrarReading, error) {
	reading := RegistrarReading{Up: true}
	for id, agent := range known {
		switch agent.standing {
		case activated:
			reading.ActivatedAgents++
			reading.Activated = append(reading.Activated, id)
		case notActivated:
			reading.OtherAgents++
		case notKnown:
			reading.UnknownAgents++
		}
	}
	slices.Sort(reading.Activated)
	if len(reading.Activated) > limit {
		reading.Activated = reading.Activated[:limit]
		return reading, failure.Errorf(failure.Internal, "%d agents are activated, more than the limit of %d that get a series", reading.ActivatedAgents, limit)
	}
	return reading, nil
}

// decodeList reads a registrar's list: {"results": {"uuids": ["…", …]}}. Ids that
// can't be kept are an error, for a part of the list would look like the whole.
func decodeList(body io.Reader) ([]string, error) {
	var ids []string
	there := false
	source := &allowance{source: body, left: maxEntry}
	err := eachResult(source, func(key string, decoder *json.Decoder) error {
		if key != "uuids" {
			return decoder.Decode(new(json.RawMessage))
		}
		if token, err := decoder.Token(); err != nil || token != json.Delim('[') {
			return cmp.Or(err, failure.Errorf(failure.Malformed, "uuids isn't a list"))
		}
		there = true
		for decoder.More() {
			source.left = maxEntry
			var id string
			if err := decoder.Decode(&id); err != nil {
				return err
			}
			if id == "" || len(id) > maxText {
				return failure.Errorf(failure.Malformed, "an agent's id has %d bytes", len(id))
			}
			if len(ids) == maxAgents {
				return failure.Errorf(failure.Malformed, "more than %d agents in one list", maxAgents)
			}
			ids = append(ids, id)
		}
		_, err := decoder.Token()
		return err
	})
	if err == nil && !there {
		return nil, failure.Errorf(failure.Malformed, "the answer has no list of uuids")
	}
	return ids, err
}
