package keylime

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"funlab.casa/attestation_exporter/failure"
)

// An api speaks to one verifier or registrar. Its methods are not safe for
// concurrent use: a Limit stands before them.
type api struct {
	base   url.URL // scheme, host and the path in front of /v2.6/
	client *client
	// version is the one agreed on, and empty until then and whenever the server
	// stops knowing it.
	version string
}

// versions are the API versions whose answers this package knows, the best first.
// Agents look the same in all of them. 3.0 is offered by releases that then answer
// it with 500, and 1.0 by releases that answer it with 404.
func versions() []string {
	return []string{"2.6", "2.5", "2.4", "2.3", "2.2", "2.1", "2.0"}
}

// A statusError is an answer other than 200.
type statusError struct {
	code int
	text string // what the server said about it, made safe for a log; often empty
}

func (e *statusError) Error() string {
	message := fmt.Sprintf("answered %d %s", e.code, http.StatusText(e.code))
	if e.text != "" {
		message += ": " + e.text
	}
	return message
}

// answered reports whether err is an answer with that status.
func answered(err error, code int) bool {
	var status *statusError
	return errors.As(err, &status) && status.code == code
}

// agents asks for /vX.Y/agents/ and what follows, agreeing on X.Y first where that
// hasn't been done. The caller closes the body.
func (a *api) agents(ctx context.Context, rest string, query url.Values) (*http.Response, error) {
	if a.version != "" {
		response, err := a.get(ctx, "v"+a.version+"/agents/"+rest, query)
		if !a.outdated(err, rest) {
			return response, err
		}
	}
	candidates, err := a.negotiate(ctx)
	if err != nil {
		return nil, err
	}
	for _, version := range candidates {
		response, err := a.get(ctx, "v"+version+"/agents/"+rest, query)
		if a.outdated(err, rest) {
			continue
		}
		if err == nil {
			a.version = version
		}
		return response, err
	}
	return nil, failure.Errorf(failure.Malformed, "the server knows none of the API versions %s", strings.Join(candidates, ", "))
}

// outdated reports whether err says that the server doesn't know the version. For a
// list that is what its router's 404 means; a single agent has a 404 of its own.
func (a *api) outdated(err error, rest string) bool {
	return rest == "" && answered(err, http.StatusNotFound)
}

// negotiate returns the versions to try. A verifier in push mode answers 410 to the
// question, so there all of them are tried.
func (a *api) negotiate(ctx context.Context) ([]string, error) {
	a.version = ""
	response, err := a.get(ctx, "version", nil)
	if answered(err, http.StatusGone) {
		return versions(), nil
	}
	if err != nil {
		return nil, fmt.Errorf("ask for API versions: %w", err)
	}
	defer response.Body.Close() //nolint:errcheck // Nothing was written.
	var offer struct {
		Results struct {
			Supported []string `json:"supported_versions"`
		} `json:"results"`
	}
	if err := decodeSmall(response.Body, &offer); err != nil {
		return nil, fmt.Errorf("read API versions: %w", err)
	}
	version, ok := highestCommon(offer.Results.Supported)
	if !ok {
		return nil, failure.Errorf(failure.Malformed, "the server offers no API version from 2.0 to %s", versions()[0])
	}
	return []string{version}, nil
}

// highestCommon returns the best version that both sides know.
func highestCommon(offered []string) (string, bool) {
	for _, version := range versions() {
		for _, other := range offered {
			if other == version {
				return version, true
			}
		}
	}
	return "", false
}

// get sends one GET below the base. It sets neither Content-Type, to which Keylime
// answers 400, nor Authorization, which keeps it from looking at the certificate.
func (a *api) get(ctx context.Context, path string, query url.Values) (*http.Response, error) {
	target := a.base.JoinPath(path)
	target.RawQuery = query.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("make a request: %w", err)
	}
	response, err := a.client.do(request)
	if err != nil {
		return nil, err
	}
	if err := checkAnswer(response); err != nil {
		_ = response.Body.Close()
		return nil, err
	}
	return response, nil
}

// checkAnswer accepts a plain JSON document and turns everything else into an error
// that says why.
func checkAnswer(response *http.Response) error {
	if response.StatusCode != http.StatusOK {
		return refusal(response)
	}
	if encoding := response.Header.Get("Content-Encoding"); encoding != "" {
		return failure.Errorf(failure.Malformed, "the answer is encoded as %.40q, which nobody asked for", encoding)
	}
	if kind := mediaType(response); kind != "application/json" {
		return failure.Errorf(failure.Malformed, "the answer is %.80q instead of JSON", kind)
	}
	return nil
}

func mediaType(response *http.Response) string {
	kind, _, err := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if err != nil {
		return ""
	}
	return kind
}

// refusal turns an answer other than 200 into an error with its reason.
func refusal(response *http.Response) error {
	err := &statusError{code: response.StatusCode}
	body, readErr := io.ReadAll(io.LimitReader(response.Body, maxSmall))
	if readErr != nil {
		body = nil // The status line is the message, the body only a comment on it.
	}
	if mediaType(response) == "application/json" {
		err.text = complaint(body)
	}
	switch {
	case response.StatusCode >= 300 && response.StatusCode < 400:
		err.text = "redirects are not followed"
	case response.StatusCode == http.StatusUnauthorized, response.StatusCode == http.StatusForbidden:
		return failure.Wrap(failure.Auth, err)
	case response.StatusCode == http.StatusBadRequest && bytes.Contains(body, []byte("SSL certificate")):
		// So nginx refuses a client certificate, after a handshake that went well.
		err.text = "the proxy in front refused the client certificate"
		return failure.Wrap(failure.TLS, err)
	case response.StatusCode == http.StatusBadGateway, response.StatusCode == http.StatusServiceUnavailable:
		return failure.Wrap(failure.Unreachable, err)
	case response.StatusCode == http.StatusGatewayTimeout:
		return failure.Wrap(failure.Timeout, err)
	}
	return failure.Wrap(failure.Malformed, err)
}

// complaint takes the message out of the two forms that Keylime's errors have: its
// own envelope with a "status", and a list of "errors" with a "detail" each.
func complaint(body []byte) string {
	var said struct {
		Status string `json:"status"`
		Errors []struct {
			Detail string `json:"detail"`
		} `json:"errors"`
	}
	if json.Unmarshal(body, &said) != nil {
		return ""
	}
	text := said.Status
	if len(said.Errors) > 0 {
		text = said.Errors[0].Detail
	}
	if text == "" {
		return ""
	}
	return fmt.Sprintf("%.200q", text)
}

// decodeSmall decodes a document that has no business being long.
func decodeSmall(body io.Reader, into any) error {
	source := &allowance{source: body, left: maxSmall}
	return source.explain(json.NewDecoder(source).Decode(into))
}

// dateOf returns when the server began to answer, by its own clock (RFC 9110,
// section 6.6.1). A proxy that puts its own Date there has to be told not to.
func dateOf(response *http.Response) (time.Time, error) {
	date, err := http.ParseTime(response.Header.Get("Date"))
	if err != nil {
		return time.Time{}, failure.Errorf(failure.Malformed, "the answer has no valid Date")
	}
	return date.UTC(), nil
}
