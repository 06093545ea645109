package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"
)

func TestParseEndpoint(t *testing.T) {
	tests := []struct {
		in   string
		want Endpoint
		name string
	}{
		{"ca.example:9000", Endpoint{Host: "ca.example", Port: "9000"}, "ca.example:9000"},
		{"ca.example:443@/etc/ca.crt", Endpoint{Host: "ca.example", Port: "443", CAFile: "/etc/ca.crt"}, "ca.example:443"},
		{"ca.example:443@/etc/a@b:c.crt", Endpoint{Host: "ca.example", Port: "443", CAFile: "/etc/a@b:c.crt"}, "ca.example:443"},
		{"[::1]:8200", Endpoint{Host: "::1", Port: "8200"}, "[::1]:8200"},
	}
	for _, tt := range tests {
		t.Run(tt.in, func(t *testing.T) {
			got, err := ParseEndpoint(tt.in)
			if err != nil || got != tt.want || got.Name() != tt.name {
				t.Errorf("ParseEndpoint: got %+v (%v), want %+v", got, err, tt.want)
			}
		})
	}
	for _, in := range []string{"", "host", ":443", "host:", "host:443@", "::1:443", "host:0", "host:65536", "host:https", "@ca.crt"} {
		if got, err := ParseEndpoint(in); err == nil {
			t.Errorf("ParseEndpoint(%q): got %+v, want an error", in, got)
		}
	}
}

// serve runs a server on loopback until the test ends, and returns its endpoint.
func serve(t *testing.T, handle func(net.Conn)) Endpoint {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				handle(conn)
			}()
		}
	}()
	return endpointAt(t, listener.Addr())
}

func endpointAt(t *testing.T, address net.Addr) Endpoint {
	t.Helper()
	tcp, ok := address.(*net.TCPAddr)
	if !ok {
		t.Fatalf("address %v is none of TCP", address)
	}
	return Endpoint{Host: tcp.IP.String(), Port: strconv.Itoa(tcp.Port)}
}

// serveTLS shakes hands and then waits for the client to go. Errors are the
// client's business.
func serveTLS(t *testing.T, config *tls.Config) Endpoint {
	t.Helper()
	return serve(t, func(conn net.Conn) {
		server := tls.Server(conn, config)
		if server.HandshakeContext(context.Background()) == nil {
			_, _ = io.Copy(io.Discard, server)
		}
	})
}

func TestHandshake(t *testing.T) {
	p, other := newPKI(t), newPKI(t)
	ca := authoritiesOf([]*x509.Certificate{p.root.Certificate})
	otherCA := authoritiesOf([]*x509.Certificate{other.root.Certificate})
	expired := mint(t, "expired", p.intermediate, during(-20*time.Hour, -10*time.Hour))
	future := mint(t, "future", p.intermediate, during(10*time.Hour, 20*time.Hour))
	short := mint(t, "short-lived CA", p.root, isCA, during(-time.Hour, time.Hour))
	beneath := mint(t, "beneath", short)

	good := func() *tls.Config {
		return &tls.Config{Certificates: []tls.Certificate{serving(p.leaf, p.intermediate)}}
	}
	with := func(leaf, intermediate *minted) *tls.Config {
		return &tls.Config{Certificates: []tls.Certificate{serving(leaf, intermediate)}}
	}
	wanting := func(version uint16) *tls.Config {
		c := good()
		c.ClientAuth, c.MinVersion, c.MaxVersion = tls.RequireAnyClientCert, version, version
		return c
	}
	tests := []struct {
		name     string
		server   *tls.Config
		ca       *authorities
		host     string // 127.0.0.1 if empty
		want     string // subject
		verified string // true, false, or none
	}{
		{"healthy", good(), &ca, "", "CN=leaf", "true"},
		{"by name", good(), &ca, "localhost", "CN=leaf", "true"},
		{"wrong name", with(mint(t, "elsewhere", p.intermediate, func(c *x509.Certificate) {
			c.IPAddresses, c.DNSNames = nil, []string{"elsewhere.example"}
		}), p.intermediate), &ca, "", "CN=elsewhere", "false"},
		{"expired", with(expired, p.intermediate), &ca, "", "CN=expired", "true"},
		{"not yet valid", with(future, p.intermediate), &ca, "", "CN=future", "true"},
		{"intermediate ends first", with(beneath, short), &ca, "", "CN=short-lived CA", "true"},
		{"without its intermediate", &tls.Config{Certificates: []tls.Certificate{serving(p.leaf)}}, &ca, "", "CN=leaf", "false"},
		{"unknown authority", good(), &otherCA, "", "CN=leaf", "false"},
		{"unknown to the system", good(), &authorities{}, "", "CN=leaf", "false"},
		{"authority couldn't be read", good(), nil, "", "CN=leaf", "none"},
		{"wants a client certificate, TLS 1.2", wanting(tls.VersionTLS12), &ca, "", "CN=leaf", "true"},
		{"wants a client certificate, TLS 1.3", wanting(tls.VersionTLS13), &ca, "", "CN=leaf", "true"},
		{"wants a client certificate of an unknown authority", wanting(tls.VersionTLS12), &otherCA, "", "CN=leaf", "false"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := serveTLS(t, tt.server)
			if tt.host != "" {
				e.Host = tt.host
			}
			got := handshake(t.Context(), e, tt.ca)
			if got.certificate == nil {
				t.Fatalf("handshake: got no certificate: %v", got.err)
			}
			if got.certificate.Subject != tt.want {
				t.Errorf("subject: got %s, want %s", got.certificate.Subject, tt.want)
			}
			if verified := verdictText(got.verified); verified != tt.verified {
				t.Errorf("verified: got %s, want %s", verified, tt.verified)
			}
			if !got.connected {
				t.Errorf("connected: got false, want true")
			}
		})
	}
}

func verdictText(verified *bool) string {
	if verified == nil {
		return "none"
	}
	return strconv.FormatBool(*verified)
}

func TestHandshakeFails(t *testing.T) {
	p := newPKI(t)
	ca := authoritiesOf([]*x509.Certificate{p.root.Certificate})
	refusing := serve(t, func(net.Conn) {})
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refused := endpointAt(t, listener.Addr())
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name      string
		endpoint  Endpoint
		want      LoadReason
		connected bool
	}{
		{"refused", refused, Unreachable, false},
		{"closes at once", refusing, TLS, true},
		{"speaks first and plainly", serve(t, func(c net.Conn) { _, _ = io.WriteString(c, "220 mail.example ESMTP\r\n") }), TLS, true},
		{"speaks HTTP", serve(t, func(c net.Conn) {
			_, _ = c.Read(make([]byte, 1))
			_, _ = io.WriteString(c, "HTTP/1.0 400 Bad Request\r\n\r\n")
		}), TLS, true},
		{"refuses the client", serveTLS(t, &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return nil, errors.New("no")
		}}), TLS, true},
		{"says nothing", serve(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }), Timeout, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			got := handshake(ctx, tt.endpoint, &ca)
			if reason := reasonOf(got.err); reason != tt.want || got.certificate != nil || got.verified != nil {
				t.Errorf("handshake: got reason %q (%v), certificate %v, want %q and none", reason, got.err, got.certificate, tt.want)
			}
			if got.connected != tt.connected {
				t.Errorf("connected: got %v, want %v", got.connected, tt.connected)
			}
		})
	}
}

func TestConnectReason(t *testing.T) {
	tests := []struct {
		name string
		err  error
		want LoadReason
	}{
		{"no such name", &net.OpError{Op: "dial", Err: &net.DNSError{IsNotFound: true}}, Unreachable},
		{"no route", &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.EHOSTUNREACH)}, Unreachable},
		{"forbidden", &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.EPERM)}, Permission},
		{"too slow", &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}, Timeout},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := connectReason(tt.err); got != tt.want {
				t.Errorf("connectReason(%v): got %q, want %q", tt.err, got, tt.want)
			}
		})
	}
}
