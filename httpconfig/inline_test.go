package httpconfig

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// An identity is a certificate of its own and its key, in PEM.
type identity struct{ cert, key string }

func newIdentity(t *testing.T) identity {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return identity{armour("CERTIFICATE", cert), armour("PRIVATE KEY", der)}
}

func armour(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func TestLoadInline(t *testing.T) {
	own, other := newIdentity(t), newIdentity(t)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	pkcs1 := armour("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey))
	const secret = "SECRET"
	tests := []struct {
		name     string
		settings map[string]string
		says     string // empty: accepted
	}{
		{"pair", map[string]string{"ca": own.cert, "cert": own.cert, "key": own.key}, ""},
		{"other things before the key", map[string]string{"cert": own.cert, "key": other.cert + own.key}, ""},
		{"key of a certificate in a file", map[string]string{"cert_file": "absent.crt", "key": own.key}, ""},
		{"old form of a key", map[string]string{"cert_file": "absent.crt", "key": pkcs1}, ""},
		{"certificate of a key in a file", map[string]string{"cert": own.cert, "key_file": "absent.key"}, ""},
		{"all in files that aren't there", map[string]string{"ca_file": "a", "cert_file": "c", "key_file": "k"}, ""},
		{"authority", map[string]string{"ca": secret}, "ca holds no certificate in PEM"},
		{"certificate", map[string]string{"cert": own.key, "key": own.key}, "cert holds no certificate in PEM"},
		{"key", map[string]string{"cert": own.cert, "key": secret}, "key holds no private key in PEM that can be used"},
		{"key beside a file", map[string]string{"cert_file": "absent.crt", "key": secret}, "key holds no private key"},
		{"broken key", map[string]string{"cert": own.cert, "key": armour("PRIVATE KEY", []byte(secret))}, "key holds no private key"},
		{"key in another wrapping", map[string]string{"cert": own.cert, "key": armour(secret, nil)}, "key holds no private key"},
		{"another's key", map[string]string{"cert": own.cert, "key": other.key}, "cert and key don't belong together"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var text strings.Builder
			text.WriteString("tls_config:\n")
			for name, value := range tt.settings {
				fmt.Fprintf(&text, "  %s: %q\n", name, value)
			}
			path := filepath.Join(t.TempDir(), "http.yml")
			if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := Load(path, Policy{})
			if (err == nil) != (tt.says == "") || err != nil && !strings.Contains(err.Error(), tt.says) {
				t.Fatalf("error: got %v, want one that says %q", err, tt.says)
			}
			if err != nil && (strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "\n")) {
				t.Errorf("error: got %q, want one line without the file's text", err)
			}
		})
	}
}
