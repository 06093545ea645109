package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"funlab.casa/attestation_exporter/failure"
)

// An Endpoint is a TLS server whose certificates are watched.
type Endpoint struct {
	Host string // the name or address that its certificate must be for
	Port string
	// CAFile has the authorities to verify against. Empty stands for those of the
	// system.
	CAFile string
}

// ParseEndpoint reads HOST:PORT or HOST:PORT@CAFILE. IPv6 addresses stand in
// brackets.
func ParseEndpoint(s string) (Endpoint, error) {
	address, ca, hasCA := strings.Cut(s, "@")
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" || hasCA && ca == "" {
		return Endpoint{}, fmt.Errorf("endpoint %q is neither HOST:PORT nor HOST:PORT@CAFILE", s)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return Endpoint{}, fmt.Errorf("endpoint %q: port %q is not a number from 1 to 65535", s, port)
	}
	return Endpoint{Host: host, Port: port, CAFile: ca}, nil
}

// Name returns host:port.
func (e Endpoint) Name() string { return net.JoinHostPort(e.Host, e.Port) }

// presented is the outcome of one attempt to see an endpoint's certificates.
type presented struct {
	certificate *Certificate // of those presented the one that ends first
	verified    *bool        // nil if there was nothing to verify, or nothing to verify it against
	err         error        // why there is no certificate
	connected   bool         // the endpoint was troubled
}

// handshake connects to the endpoint and looks at what it presents. The handshake
// verifies it as any client would; what fails there is still seen, by the error.
// A nil ca means that the authorities couldn't be read: then nothing verifies, and
// no verdict is given.
func handshake(ctx context.Context, e Endpoint, ca *authorities) presented {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", e.Name())
	if err != nil {
		return presented{
			err: &LoadError{connectReason(err), fmt.Errorf("connect: %w", err)},
			// Who refuses has done no work. Who lets the time pass may be doing some.
			connected: failure.Of(err) == failure.Timeout,
		}
	}
	chain, err := presentedChain(ctx, conn, e.Host, ca)
	if len(chain) == 0 {
		return presented{err: &LoadError{handshakeReason(err), fmt.Errorf("TLS handshake: %w", err)}, connected: true}
	}
	got := presented{certificate: FirstToEnd(chain), connected: true}
	if ca != nil {
		verified := ca.verify(chain, e.Host, time.Now()) == nil
		got.verified = &verified
	}
	return got
}

// presentedChain does the handshake and closes the connection. With a chain there
// may be an error too, which then doesn't matter.
func presentedChain(ctx context.Context, conn net.Conn, host string, ca *authorities) ([]*x509.Certificate, error) {
	anchors := x509.NewCertPool()
	if ca != nil {
		anchors = ca.anchors
	}
	var chain []*x509.Certificate
	client := tls.Client(conn, &tls.Config{
		MinVersion: tls.VersionTLS12,
		ServerName: host,
		RootCAs:    anchors,
		// Called when the certificates are verified but the handshake isn't over:
		// in TLS 1.2 a server that wants a client certificate ends it with an
		// alert (RFC 5246, section 7.4.6).
		VerifyConnection: func(state tls.ConnectionState) error {
			chain = state.PeerCertificates
			return nil
		},
	})
	defer client.Close() //nolint:errcheck // Nothing was sent that could be lost.

	err := client.HandshakeContext(ctx)
	var unverified *tls.CertificateVerificationError
	if errors.As(err, &unverified) {
		chain = unverified.UnverifiedCertificates
	}
	return chain, err
}

func connectReason(err error) LoadReason {
	switch failure.Of(err) { //nolint:exhaustive // All others mean that there is no connection.
	case failure.Timeout:
		return Timeout
	case failure.Permission:
		return Permission
	}
	return Unreachable
}

func handshakeReason(err error) LoadReason {
	if failure.Of(err) == failure.Timeout {
		return Timeout
	}
	return TLS
}
