package spire

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"

	"funlab.casa/attestation_exporter/certs"
	"funlab.casa/attestation_exporter/failure"
	"funlab.casa/attestation_exporter/finding"
	"funlab.casa/attestation_exporter/regular"
)

const (
	// endpointRest is the time between two handshakes with an endpoint, failed
	// ones included.
	endpointRest    = 5 * time.Minute
	endpointTimeout = 5 * time.Second
	// maxEndpoint bounds an answer, and the file of anchors: 10,000 authorities.
	maxEndpoint = 16 << 20
)

// An Endpoint is a bundle endpoint of a trust domain (SPIFFE Federation, section 5).
// It is safe for concurrent use.
type Endpoint struct {
	trustDomain spiffeid.TrustDomain
	url         string
	id          spiffeid.ID // of the endpoint's SVID; zero for the profile https_web
	anchors     string      // the PEM file that verifies that SVID
	from        string      // who named it
	now         func() time.Time

	turn chan struct{} // held by whoever uses what follows
	next time.Time
	last certs.LiveBundle
	err  error
}

// ParseEndpoint parses the user's word for an endpoint: TRUST_DOMAIN,URL for the
// profile https_web, whose certificate is verified with the system's roots, and
// TRUST_DOMAIN,URL,SPIFFE_ID for https_spiffe, whose SVID is verified with the
// authorities in the PEM file anchors.
func ParseEndpoint(text, anchors string) (*Endpoint, error) {
	parts := strings.Split(text, ",")
	if len(parts) < 2 || len(parts) > 3 {
		return nil, fmt.Errorf("bundle endpoint %q: want TRUST_DOMAIN,URL or TRUST_DOMAIN,URL,SPIFFE_ID", text)
	}
	domain, err := spiffeid.TrustDomainFromString(parts[0])
	if err != nil {
		return nil, fmt.Errorf("bundle endpoint %q: trust domain: %w", text, err)
	}
	address, err := url.Parse(parts[1])
	if err != nil || address.Scheme != "https" || address.Host == "" || address.User != nil {
		return nil, fmt.Errorf("bundle endpoint %q: want an https URL without a user", text)
	}
	endpoint := &Endpoint{trustDomain: domain, url: address.String(), anchors: anchors, from: finding.Flag, now: time.Now, turn: make(chan struct{}, 1)}
	if len(parts) == 3 {
		if endpoint.id, err = spiffeid.FromString(parts[2]); err != nil {
			return nil, fmt.Errorf("bundle endpoint %q: SPIFFE ID: %w", text, err)
		}
	}
	return endpoint, nil
}

// Endpoint returns the bundle endpoint that server.conf switches on, to be asked on
// this host, and ErrAbsent where there is none. Of the profile https_web only the
// user knows by which name its certificate is to be verified.
func (s *Server) Endpoint(anchors string) (*Endpoint, error) {
	site, err := s.finder.find()
	if err != nil {
		return nil, err
	}
	if site.config.Endpoint.Profile != "https_spiffe" {
		return nil, ErrAbsent
	}
	host, port, err := net.SplitHostPort(site.config.Endpoint.Address)
	if err != nil {
		return nil, fmt.Errorf("bundle endpoint of server.conf: %w", err)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	domain := site.config.TrustDomain
	endpoint, err := ParseEndpoint(domain+",https://"+net.JoinHostPort(host, port)+",spiffe://"+domain+"/spire/server", anchors)
	if err != nil {
		return nil, err
	}
	endpoint.from = site.configPath
	return endpoint, nil
}

// Live returns the endpoint's bundle. It is asked once in five minutes, and its
// answer is served in between; after a refused connection it is asked again.
func (e *Endpoint) Live(ctx context.Context) ([]certs.LiveBundle, error) {
	select {
	case e.turn <- struct{}{}:
		defer func() { <-e.turn }()
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for the bundle endpoint: %w", ctx.Err())
	}
	if now := e.now(); !now.Before(e.next) {
		e.last, e.err = e.fetch(ctx)
		// That somebody went away who asked is nothing to tell others for five minutes.
		if !refused(e.err) && ctx.Err() == nil {
			e.next = now.Add(endpointRest)
		}
	}
	if e.err != nil {
		return nil, fmt.Errorf("bundle endpoint of %s: %w", e.trustDomain.Name(), e.err)
	}
	return []certs.LiveBundle{e.last}, nil
}

// refused reports whether err is that of a connection that didn't come about.
func refused(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

func (e *Endpoint) fetch(ctx context.Context) (certs.LiveBundle, error) {
	config, err := e.tls()
	if err != nil {
		return certs.LiveBundle{}, err
	}
	client := http.Client{
		Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true},
		Timeout:   endpointTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse // The profile vouches for this URL only.
		},
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, e.url, http.NoBody)
	if err != nil {
		return certs.LiveBundle{}, err
	}
	response, err := client.Do(request)
	if err != nil {
		if failure.Of(err) == failure.Internal {
			err = failure.Wrap(failure.TLS, err) // go-spiffe's verdict on an ID is an error of its own.
		}
		return certs.LiveBundle{}, err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return certs.LiveBundle{}, failure.Errorf(failure.Malformed, "the answer is %s", response.Status)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxEndpoint+1))
	switch {
	case err != nil:
		return certs.LiveBundle{}, fmt.Errorf("read the answer: %w", err)
	case len(body) > maxEndpoint:
		return certs.LiveBundle{}, failure.Errorf(failure.Malformed, "the answer has more than %d bytes", maxEndpoint)
	}
	bundle := certs.ParseBundle("", body)
	if bundle.Failed != "" {
		return certs.LiveBundle{}, failure.Errorf(failure.Malformed, "the answer is no bundle: %s", bundle.Failed)
	}
	return certs.LiveBundle{TrustDomain: e.trustDomain.Name(), Source: "endpoint", Authorities: bundle.Authorities}, nil
}

// tls is the configuration that verifies the endpoint as its profile says.
func (e *Endpoint) tls() (*tls.Config, error) {
	if e.id.IsZero() {
		return &tls.Config{MinVersion: tls.VersionTLS12}, nil
	}
	anchors, err := regular.Read(e.anchors, maxEndpoint, func(r io.Reader) (*x509bundle.Bundle, error) {
		text, err := io.ReadAll(r)
		if err != nil {
			return nil, err
		}
		authorities, err := parsePEMChain(text)
		return x509bundle.FromX509Authorities(e.id.TrustDomain(), authorities), err
	})
	if err != nil {
		return nil, fmt.Errorf("read the endpoint's anchors: %w", err)
	}
	return tlsconfig.TLSClientConfig(anchors, tlsconfig.AuthorizeID(e.id)), nil
}
