package keylime

import (
	"crypto/tls"
	"errors"
	"io/fs"
	"net"
	"testing"

	"funlab.casa/attestation_exporter/failure"
)

// resetting serves TLS and resets every connection on which a request comes. From
// the second connection on it speaks TLS as later says.
func resetting(t *testing.T, first, later *tls.Config) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for settings := first; ; settings = later {
			conn, err := listener.Accept()
			if err != nil {
				return // The test is over.
			}
			encrypted := tls.Server(conn, settings)
			if _, err := encrypted.Read(make([]byte, 1)); err == nil {
				_ = conn.(*net.TCPConn).SetLinger(0)
			}
			_ = conn.Close()
		}
	}()
	return "https://" + listener.Addr().String()
}

// TestRefusalBehindAReset covers the alert that is lost when it crosses a request.
func TestRefusalBehindAReset(t *testing.T) {
	e := newEstate(t)
	open := e.serverTLS()
	open.ClientAuth = tls.NoClientCert
	closed := e.serverTLS()
	closed.ClientAuth = tls.RequireAndVerifyClientCert
	client := httpConfig(t, t.TempDir(), e.root, nil)
	for name, tt := range map[string]struct {
		later *tls.Config
		want  failure.Reason
	}{
		"refuses the certificate": {closed, failure.TLS},
		"goes away":               {open, failure.Unreachable},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVerifier(t, resetting(t, open, tt.later), client)
			if _, err := v.readOnce(t.Context()); err == nil || failure.Of(err) != tt.want {
				t.Errorf("error: got %v, want one of reason %s", err, tt.want)
			}
		})
	}
}

func TestTLSFailure(t *testing.T) {
	tests := []struct {
		name string
		err  error
		want failure.Reason
	}{
		{"key that can't be read", &fs.PathError{Op: "open", Path: "client.key", Err: fs.ErrPermission}, failure.Permission},
		{"key that isn't there", &fs.PathError{Op: "open", Path: "client.key", Err: fs.ErrNotExist}, failure.Unreachable},
		{"key that doesn't fit", errors.New("tls: private key does not match public key"), failure.TLS},
		{"alert", &net.OpError{Op: "remote error", Err: errors.New("tls: bad certificate")}, failure.TLS},
	}
	for _, tt := range tests {
		if got := failure.Of(tlsFailure(tt.err)); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
}
