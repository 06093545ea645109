package spire

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"funlab.casa/attestation_exporter/failure"
)

const serverID = "spiffe://funlab.casa/spire/server"

// mintSVID makes a self-signed authority with that SPIFFE ID's trust domain, and an
// SVID under it.
func mintSVID(t *testing.T, id string, notAfter time.Time) (authority []byte, svid tls.Certificate) {
	t.Helper()
	uri, err := url.Parse(id)
	if err != nil {
		t.Fatal(err)
	}
	sign := func(template, parent *x509.Certificate, public *ecdsa.PublicKey, signer *ecdsa.PrivateKey) []byte {
		t.Helper()
		template.SerialNumber = big.NewInt(1)
		template.NotBefore, template.NotAfter = notAfter.Add(-time.Hour), notAfter
		template.BasicConstraintsValid = true
		der, err := x509.CreateCertificate(rand.Reader, template, parent, public, signer)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	caKey, caErr := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	key, keyErr := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if caErr != nil || keyErr != nil {
		t.Fatal(caErr, keyErr)
	}
	ca := &x509.Certificate{IsCA: true, KeyUsage: x509.KeyUsageCertSign, URIs: []*url.URL{{Scheme: "spiffe", Host: uri.Host}}}
	authority = sign(ca, ca, &caKey.PublicKey, caKey)
	leaf := &x509.Certificate{KeyUsage: x509.KeyUsageDigitalSignature, URIs: []*url.URL{uri}}
	return authority, tls.Certificate{Certificate: [][]byte{sign(leaf, ca, &key.PublicKey, caKey)}, PrivateKey: key}
}

// newEndpoint serves answer with svid and returns the URL and a count of handshakes.
func newEndpoint(t *testing.T, svid tls.Certificate, answer http.HandlerFunc) (address string, handshakes *atomic.Int64) {
	t.Helper()
	handshakes = &atomic.Int64{}
	server := httptest.NewUnstartedServer(answer)
	server.TLS = &tls.Config{
		Certificates: []tls.Certificate{svid},
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			handshakes.Add(1)
			return nil, nil // The same one.
		},
	}
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // Refused handshakes are the point.
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.URL, handshakes
}

func anchorsFile(t *testing.T, authority []byte) string {
	t.Helper()
	return writeFile(t.TempDir(), "bundle.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authority})))
}

func showing(authority []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(bundleDocument(authority)))
	}
}

func TestEndpoint(t *testing.T) {
	soon := time.Now().Add(time.Hour)
	authority, svid := mintSVID(t, serverID, soon)
	_, foreignSVID := mintSVID(t, serverID, soon)
	expiredAuthority, expiredSVID := mintSVID(t, serverID, time.Now().Add(-time.Minute))
	tests := []struct {
		name    string
		svid    tls.Certificate
		anchors []byte
		id      string
		answer  http.HandlerFunc
		want    failure.Reason // empty: a bundle of one
	}{
		{"healthy", svid, authority, serverID, showing(authority), ""},
		{"another authority", foreignSVID, authority, serverID, showing(authority), failure.TLS},
		{"another ID", svid, authority, "spiffe://funlab.casa/other", showing(authority), failure.TLS},
		{"expired", expiredSVID, expiredAuthority, serverID, showing(authority), failure.TLS},
		{"no bundle", svid, authority, serverID, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) }, failure.Malformed},
		{"an error", svid, authority, serverID, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }, failure.Malformed},
		{"a redirect", svid, authority, serverID, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://127.0.0.1:1/", http.StatusFound)
		}, failure.Malformed},
		{"without end", svid, authority, serverID, func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(bundleDocument(authority)))
			block := []byte(strings.Repeat(" ", 1<<20))
			for range maxEndpoint/len(block) + 1 {
				if _, err := w.Write(block); err != nil {
					return
				}
			}
		}, failure.Malformed},
		{"says nothing", svid, authority, serverID, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, failure.Timeout},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			address, _ := newEndpoint(t, tt.svid, tt.answer)
			endpoint, err := ParseEndpoint("funlab.casa,"+address+","+tt.id, anchorsFile(t, tt.anchors))
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			live, err := endpoint.Live(ctx)
			if tt.want != "" {
				if err == nil || failure.Of(err) != tt.want {
					t.Errorf("got %+v, %v, want reason %s", live, err, tt.want)
				}
				return
			}
			if err != nil || len(live) != 1 || live[0].TrustDomain != "funlab.casa" || len(live[0].Authorities) != 1 {
				t.Errorf("got %+v, %v, want a bundle of one", live, err)
			}
		})
	}
}

// https_web trusts the system's roots, of which the test's isn't one.
func TestEndpointWeb(t *testing.T) {
	authority, svid := mintSVID(t, serverID, time.Now().Add(time.Hour))
	address, _ := newEndpoint(t, svid, showing(authority))
	endpoint, err := ParseEndpoint("funlab.casa,"+address, "")
	if err != nil {
		t.Fatal(err)
	}
	if live, err := endpoint.Live(t.Context()); err == nil || failure.Of(err) != failure.TLS {
		t.Errorf("got %+v, %v, want a TLS error", live, err)
	}
}

// Whoever asked and went away doesn't leave his own end to those who come after him.
func TestEndpointGivenUp(t *testing.T) {
	authority, svid := mintSVID(t, serverID, time.Now().Add(time.Hour))
	address, _ := newEndpoint(t, svid, showing(authority))
	endpoint, err := ParseEndpoint("funlab.casa,"+address+","+serverID, anchorsFile(t, authority))
	if err != nil {
		t.Fatal(err)
	}
	gone, leave := context.WithCancel(t.Context())
	endpoint.now = func() time.Time { leave(); return time.Now() }
	if _, err := endpoint.Live(gone); err == nil {
		t.Error("got no error of a caller who has left, want one")
	}
	if live, err := endpoint.Live(t.Context()); err != nil || len(live) != 1 {
		t.Errorf("got %+v, %v for the next one, want the bundle", live, err)
	}
}

func TestEndpointRest(t *testing.T) {
	authority, svid := mintSVID(t, serverID, time.Now().Add(time.Hour))
	address, handshakes := newEndpoint(t, svid, showing(authority))
	now := time.Now()
	for _, tt := range []struct {
		name, id string
		wantErr  bool
	}{{"healthy", serverID, false}, {"failing", "spiffe://funlab.casa/other", true}} {
		t.Run(tt.name, func(t *testing.T) {
			endpoint, err := ParseEndpoint("funlab.casa,"+address+","+tt.id, anchorsFile(t, authority))
			if err != nil {
				t.Fatal(err)
			}
			clock := now
			endpoint.now = func() time.Time { return clock }
			before := handshakes.Load()
			for _, step := range []struct {
				after time.Duration
				want  int64
			}{{0, 1}, {endpointRest - time.Second, 1}, {time.Second, 2}} {
				clock = clock.Add(step.after)
				if _, err := endpoint.Live(t.Context()); (err != nil) != tt.wantErr {
					t.Errorf("got %v, want an error: %v", err, tt.wantErr)
				}
				if got := handshakes.Load() - before; got != step.want {
					t.Errorf("got %d handshakes %s on, want %d", got, clock.Sub(now), step.want)
				}
			}
		})
	}
}

// Nobody listening costs nothing, so there is no rest.
func TestEndpointRefused(t *testing.T) {
	authority, svid := mintSVID(t, serverID, time.Now().Add(time.Hour))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	endpoint, err := ParseEndpoint("funlab.casa,https://"+address+","+serverID, anchorsFile(t, authority))
	if err != nil {
		t.Fatal(err)
	}
	if live, err := endpoint.Live(t.Context()); err == nil || failure.Of(err) != failure.Unreachable {
		t.Errorf("got %+v, %v, want unreachable", live, err)
	}
	server := httptest.NewUnstartedServer(showing(authority))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{svid}}
	if err := server.Listener.Close(); err != nil {
		t.Fatal(err)
	}
	if server.Listener, err = net.Listen("tcp", address); err != nil {
		t.Fatal(err)
	}
	server.StartTLS()
	defer server.Close()
	if live, err := endpoint.Live(t.Context()); err != nil {
		t.Errorf("got %+v, %v right after it came up, want a bundle", live, err)
	}
}

func TestServerEndpoint(t *testing.T) {
	block := func(address, profile string) string {
		return `server { trust_domain = "funlab.casa" federation { bundle_endpoint { address = "` + address + `" port = 8443 profile "` + profile + `" {} } } }`
	}
	tests := []struct{ name, config, want string }{
		{"on all addresses", block("0.0.0.0", "https_spiffe"), "https://localhost:8443"},
		{"on all addresses of IPv6", block("::", "https_spiffe"), "https://localhost:8443"},
		{"on one", block("192.0.2.1", "https_spiffe"), "https://192.0.2.1:8443"},
		{"by a name that only the user knows", block("0.0.0.0", "https_web"), ""},
		{"none", `server { trust_domain = "funlab.casa" }`, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server := NewServer(ServerOptions{Place: Place{Configs: []string{writeFile(t.TempDir(), "server.conf", tt.config)}}})
			endpoint, err := server.Endpoint("")
			if tt.want == "" {
				if !errors.Is(err, ErrAbsent) {
					t.Errorf("got %+v, %v, want %v", endpoint, err, ErrAbsent)
				}
				return
			}
			if err != nil || endpoint.url != tt.want || endpoint.id.String() != serverID {
				t.Errorf("got %+v, %v, want %s of %s", endpoint, err, tt.want, serverID)
			}
		})
	}
}

func TestParseEndpointRefuses(t *testing.T) {
	for _, text := range []string{
		"", "funlab.casa", "funlab.casa,http://spire.funlab.casa:8443", "funlab.casa,https://", "funlab.casa,spire.funlab.casa:8443",
		"funlab.casa,https://user:pass@spire.funlab.casa", "Fun Lab,https://spire.funlab.casa", "funlab.casa,https://spire.funlab.casa,server", "a,https://b,spiffe://a/b,c",
	} {
		if endpoint, err := ParseEndpoint(text, ""); err == nil {
			t.Errorf("got %+v for %q, want an error", endpoint, text)
		}
	}
}
