package keylime

import (
	"cmp"
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"funlab.casa/attestation_exporter/certs"
	"funlab.casa/attestation_exporter/failure"
)

// A LocalAgentReading is what can be seen of this host's agent from outside.
type LocalAgentReading struct {
	// ID is empty where it can't be known.
	ID string
	// Address is the host:port that was asked; empty in push mode, where nothing
	// listens.
	Address string
	Up      bool
	// Certificate is the one that the agent presents; nil where none came.
	Certificate *certs.Certificate
}

// A LocalAgent reads this host's agent without an identity and without its TPM. Its
// API would want a client certificate, each of which is an administrator to the
// verifier, so none belongs on the hosts.
type LocalAgent struct {
	// Address is host:port; empty is what agent.conf says.
	Address string
	// Settings reads agent.conf, as Files.Agent does.
	Settings func(context.Context) (AgentSettings, error)
	// EK returns the TPM's public endorsement key, or nil where it can't be told;
	// SPIFFEID the id of this host's SPIRE agent. Either may be nil; each is asked
	// only where agent.conf leaves the agent's id open.
	EK       func(context.Context) (crypto.PublicKey, error)
	SPIFFEID func(context.Context) (string, error)
}

// patienceForAgent is how long the agent may take to present its certificate: a host
// under load, not a host elsewhere.
const patienceForAgent = 5 * time.Second

// Read asks the agent. The id is there also while the agent is silent.
func (l *LocalAgent) Read(ctx context.Context) (LocalAgentReading, error) {
	settings, err := l.Settings(ctx)
	if err != nil && (l.Address == "" || !errors.Is(err, ErrAbsent)) {
		return LocalAgentReading{}, err
	}
	configured := err == nil
	if !configured {
		settings = AgentSettings{TLS: true}
	}
	reading := LocalAgentReading{}
	var silent, unknown error
	if l.Address != "" || !settings.Pushes {
		reading.Address = cmp.Or(l.Address, settings.Address)
		reading.Certificate, silent = probe(ctx, reading.Address, settings.TLS)
		reading.Up = silent == nil
	}
	if configured {
		reading.ID, unknown = l.id(ctx, settings.UUID)
	}
	if silent != nil {
		silent = fmt.Errorf("agent %s: %w", reading.Address, silent)
	}
	return reading, errors.Join(silent, unknown)
}

// id finds out the agent's id: the configured one, the one made from the EK where
// the configuration says so, else the one by which SPIRE knows this host.
func (l *LocalAgent) id(ctx context.Context, uuid string) (string, error) {
	if id, ok := configuredID(uuid); ok {
		return id, nil
	}
	if uuid == hashEK && l.EK != nil {
		ek, err := l.EK(ctx)
		if err != nil {
			return "", fmt.Errorf("read the EK that the agent's id is made from: %w", err)
		}
		if ek != nil {
			return IDFromEK(ek)
		}
	}
	if l.SPIFFEID == nil {
		return "", nil
	}
	spiffe, err := l.SPIFFEID(ctx)
	if err != nil {
		return "", fmt.Errorf("read the SPIFFE ID that holds the agent's id: %w", err)
	}
	id, _ := IDFromSPIFFE(spiffe)
	return id, nil
}

// probe asks for a sign of life: a certificate, or an answer to GET /version from an
// agent without TLS.
//
// It comes before the id, which a TPM or a SPIRE agent that hangs can keep back for as
// long as there is time, and takes half of that time at the most.
func probe(ctx context.Context, address string, encrypted bool) (*certs.Certificate, error) {
	patience := patienceForAgent
	if deadline, ok := ctx.Deadline(); ok {
		patience = min(patience, time.Until(deadline)/2)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	defer conn.Close() //nolint:errcheck // Nothing was written.
	if encrypted {
		return presented(ctx, conn)
	}
	return nil, greet(ctx, conn, address)
}

// presented takes the certificate that comes with the server's first flight and ends
// the handshake there. An empty pool trusts nobody, so verification always fails,
// and it is the error that holds the certificate: an agent's is often signed by
// itself, and nothing is sent to it that would need trust.
func presented(ctx context.Context, conn net.Conn) (*certs.Certificate, error) {
	client := tls.Client(conn, &tls.Config{
		RootCAs:    x509.NewCertPool(),
		ServerName: "agent.invalid",
		MinVersion: tls.VersionTLS12,
		// Nothing is kept secret here, so a key that withstands quantum computers would
		// cost both sides for nothing.
		CurvePreferences: []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384},
	})
	err := client.HandshakeContext(ctx)
	var unverified *tls.CertificateVerificationError
	if errors.As(err, &unverified) && len(unverified.UnverifiedCertificates) > 0 {
		return certs.FirstToEnd(unverified.UnverifiedCertificates), nil
	}
	if err == nil {
		err = failure.Errorf(failure.TLS, "the handshake ended without a certificate")
	}
	return nil, fmt.Errorf("wait for the certificate: %w", tlsFailure(err))
}

// greet asks an agent without TLS for its version, over conn. Any answer in HTTP is
// a sign of life.
func greet(ctx context.Context, conn net.Conn, address string) error {
	transport := &http.Transport{
		DialContext:       func(context.Context, string, string) (net.Conn, error) { return conn, nil },
		DisableKeepAlives: true,
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/version", nil)
	if err != nil {
		return fmt.Errorf("make a request: %w", err)
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return err
	}
	defer response.Body.Close() //nolint:errcheck // Nothing was written.
	if _, err := io.Copy(io.Discard, io.LimitReader(response.Body, maxSmall)); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	return nil
}
