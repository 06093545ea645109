package keylime

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/prometheus/common/config"

	"funlab.casa/attestation_exporter/duty"
	"funlab.casa/attestation_exporter/failure"
)

// A VerifierReading is one bulk answer of a verifier.
type VerifierReading struct {
	// Verifier is the verifier's own id, "default" unless it was configured.
	Verifier string
	// Up says that it answered with its agents.
	Up bool
	// Taken is when it made the answer, by its own clock, to the second.
	Taken  time.Time
	Agents []Agent
	// QuoteInterval is the time between two quotes of an agent, MaxInterval the one
	// after which Keylime itself calls an agent overdue in push mode. 0 is unknown.
	QuoteInterval time.Duration
	MaxInterval   time.Duration
}

// VerifierOptions says which verifier is read, and how. What is left out is found in
// Keylime's configuration files.
type VerifierOptions struct {
	// URL is where it answers, with the path that a proxy may want in front.
	URL string
	// ID is its uuid in verifier.conf, which says whose agents to ask for where
	// several verifiers share a database.
	ID string
	// HTTP holds the client certificate. Without one no verifier is read: none is
	// ever taken from Keylime's own files, where each is an administrator's.
	HTTP *config.HTTPClientConfig
	// Settings reads verifier.conf, as Files.Verifier does.
	Settings func(context.Context) (VerifierSettings, error)
}

// A Verifier reads one verifier without hurting it: a bulk answer stops its polling
// for 0.36 ms an agent, so it is asked at most a twentieth of the time.
type Verifier struct {
	options VerifierOptions
	client  *client
	limit   *duty.Limit[VerifierReading]
	id      atomic.Value // string: the verifier's id, once it is known

	// The rest belongs to the one reading that is under way.
	api      api
	patience time.Duration
}

// NewVerifier makes a Verifier. It reads nothing yet.
func NewVerifier(options VerifierOptions) (*Verifier, error) {
	if err := checkOptions(options.URL, options.HTTP); err != nil {
		return nil, err
	}
	v := &Verifier{options: options, client: &client{config: options.HTTP}, patience: firstPatience}
	v.limit = duty.New(longestPatience, v.readOnce)
	return v, nil
}

// Read returns what the verifier says now, or said in a reading that is still to be
// served. A part comes with the error of the rest.
func (v *Verifier) Read(ctx context.Context) (VerifierReading, error) {
	reading, err := v.limit.Read(ctx)
	if id, ok := v.id.Load().(string); ok && reading.Verifier == "" && !errors.Is(err, ErrAbsent) {
		reading.Verifier = id
	}
	return reading, err
}

func (v *Verifier) readOnce(ctx context.Context) (VerifierReading, error) {
	settings, err := v.settings(ctx)
	if err != nil {
		return VerifierReading{}, err
	}
	v.id.Store(settings.ID)
	if v.api.base != settings.URL || v.api.client == nil {
		v.api = api{base: settings.URL, client: v.client}
	}

	patient, cancel := context.WithTimeout(ctx, v.patience)
	defer cancel()
	begin := time.Now()
	reading, err := v.bulk(patient, settings)
	err = impatient(patient, err)
	v.patience = nextPatience(v.patience, time.Since(begin), err != nil && failure.Of(err) == failure.Timeout)
	if err != nil {
		err = fmt.Errorf("verifier %s: %w", settings.URL.Redacted(), err)
	}
	return reading, err
}

// bulk asks for all agents of this verifier at once, which costs it a sixth of
// asking for each, and is the only answer from which to learn that one is gone: for
// a single agent it answers 404 also when its database is locked.
func (v *Verifier) bulk(ctx context.Context, settings VerifierSettings) (VerifierReading, error) {
	reading := VerifierReading{
		Verifier:      settings.ID,
		QuoteInterval: settings.QuoteInterval,
	}
	response, err := v.api.agents(ctx, "", url.Values{"bulk": {"true"}, "verifier": {settings.ID}})
	if err != nil {
		return reading, err
	}
	defer response.Body.Close() //nolint:errcheck // Nothing was written.
	taken, dateErr := dateOf(response)
	answer, err := decodeBulk(response.Body, settings.ID)
	if err != nil && answer.agents == nil {
		return reading, err
	}
	reading.Up, reading.Taken = true, taken
	reading.Agents = answer.agents
	reading.MaxInterval = answer.maxInterval
	if reading.QuoteInterval == 0 {
		reading.QuoteInterval = answer.interval
	}
	return reading, errors.Join(dateErr, err)
}

// settings finds out which verifier to read, at each reading anew: it may be
// installed while this program runs.
func (v *Verifier) settings(ctx context.Context) (VerifierSettings, error) {
	if v.options.HTTP == nil {
		return VerifierSettings{}, fmt.Errorf("no HTTP configuration with a client certificate was given: %w", ErrAbsent)
	}
	settings, err := ask(ctx, v.options.Settings)
	if v.options.URL != "" {
		// The URL names the way to the verifier, and the files at least its id.
		if err != nil {
			settings, err = v.unread(err)
		}
		if err == nil {
			settings.URL, err = parseURL(v.options.URL)
		}
	} else if err == nil {
		settings.URL, err = parseURL(settings.URL.String())
	}
	if err != nil {
		return VerifierSettings{}, err
	}
	if v.options.ID != "" {
		settings.ID = v.options.ID
	}
	return settings, nil
}

// unread are the settings where the files can't be read. A verifier that has no files
// here, or none that this program may read, has the default id unless it is told; for
// another trouble, which may be over soon, there is the id of before. By a wrong id a
// verifier has no agents, and says so as if all were well.
func (v *Verifier) unread(err error) (VerifierSettings, error) {
	if id, ok := v.id.Load().(string); ok {
		return VerifierSettings{ID: id}, nil
	}
	if v.options.ID != "" || errors.Is(err, ErrAbsent) || failure.Of(err) == failure.Permission {
		return VerifierSettings{ID: defaultVerifierID}, nil
	}
	return VerifierSettings{}, err
}

// patienceForSettings is how long it may take to find out which server to ask.
const patienceForSettings = 5 * time.Second

// ask finds out which server to ask, which is another source's time and none of its
// own: a reader that hangs must not keep a server unread for twenty times as long.
func ask[T any](ctx context.Context, settings func(context.Context) (T, error)) (got T, err error) {
	ctx, cancel := context.WithTimeout(ctx, patienceForSettings)
	defer cancel()
	duty.Elsewhere(ctx, func() { got, err = settings(ctx) })
	return got, err
}

// checkOptions refuses what can't work before anything is read.
func checkOptions(address string, client *config.HTTPClientConfig) error {
	if address == "" {
		return nil
	}
	if _, err := parseURL(address); err != nil {
		return err
	}
	if client == nil {
		return fmt.Errorf("%s can't be read without an HTTP configuration with a client certificate", address)
	}
	return nil
}

// parseURL accepts https URLs with a host and perhaps a path.
func parseURL(address string) (url.URL, error) {
	parsed, err := url.Parse(address)
	if err != nil {
		return url.URL{}, fmt.Errorf("not a URL: %w", err)
	}
	if parsed.Scheme != "https" || parsed.Host == "" || parsed.User != nil || parsed.RawQuery != "" || parsed.Fragment != "" {
		return url.URL{}, fmt.Errorf("%s isn't of the form https://host:port/path", parsed.Redacted())
	}
	return *parsed, nil
}
