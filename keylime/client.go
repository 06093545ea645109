package keylime

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/common/config"

	"funlab.casa/attestation_exporter/failure"
)

// A client sends requests with a client certificate that is read again when its file
// changes, over HTTP/1.1 connections that are kept.
type client struct {
	config *config.HTTPClientConfig
	http   *http.Client // nil until the certificate files could be read once
}

// do sends request. The body of the answer is cut off with the request's context.
func (c *client) do(request *http.Request) (*http.Response, error) {
	if c.http == nil {
		made, err := config.NewClientFromConfig(*c.config, "keylime", config.WithHTTP2Disabled())
		if err != nil {
			return nil, tlsFailure(err)
		}
		c.http = made
	}
	var fresh atomic.Bool
	trace := &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) { fresh.Store(!info.Reused) },
	}
	response, err := c.http.Do(request.WithContext(httptrace.WithClientTrace(request.Context(), trace)))
	if err == nil {
		return response, nil
	}
	err = tlsFailure(err)
	if fresh.Load() && brokenOff(err) {
		if alert := c.afterthought(request.Context(), addressOf(request.URL)); alert != nil {
			return nil, alert
		}
	}
	return nil, err
}

// tlsFailure gives certificate files that can't be used together the reason that
// they deserve.
func tlsFailure(err error) error {
	if failure.Of(err) == failure.Internal {
		return failure.Wrap(failure.TLS, err)
	}
	return err
}

// brokenOff reports whether a connection ended without an answer.
func brokenOff(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// addressOf returns the host:port of an https URL.
func addressOf(target *url.URL) string {
	return net.JoinHostPort(target.Hostname(), cmp.Or(target.Port(), "443"))
}

// patienceForAlert is how long a server may take to refuse a handshake.
const patienceForAlert = time.Second

// afterthought tells a refused certificate from a server that went away. In TLS 1.3
// the client's handshake is over before the server has looked at its certificate
// (RFC 8446, section 2), and the alert is lost when it crosses a request: all that
// is left is a reset. So it shakes hands once more, sends nothing and waits for the
// alert; nil is none.
func (c *client) afterthought(ctx context.Context, address string) error {
	settings, err := config.NewTLSConfigWithContext(ctx, &c.config.TLSConfig)
	if err != nil {
		return tlsFailure(err)
	}
	conn, err := (&tls.Dialer{Config: settings}).DialContext(ctx, "tcp", address)
	if err == nil {
		defer conn.Close() //nolint:errcheck // Nothing was written.
		if err := conn.SetReadDeadline(time.Now().Add(patienceForAlert)); err != nil {
			return fmt.Errorf("limit the wait for an alert: %w", err)
		}
		_, err = conn.Read(make([]byte, 1))
	}
	if err == nil || failure.Of(err) != failure.TLS {
		return nil
	}
	return fmt.Errorf("shake hands: %w", err)
}
