package certs

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A minted is a certificate made for a test, and its key.
type minted struct {
	*x509.Certificate
	key crypto.Signer
}

// mint makes a certificate signed by issuer, or by itself if that is nil. It is
// valid for a day around now unless change says otherwise.
func mint(t testing.TB, name string, issuer *minted, change ...func(*x509.Certificate)) *minted {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-12 * time.Hour).Truncate(time.Second),
		NotAfter:     time.Now().Add(12 * time.Hour).Truncate(time.Second),
		DNSNames:     []string{"localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	for _, c := range change {
		c(template)
	}
	parent, signer := template, crypto.Signer(key)
	if issuer != nil {
		parent, signer = issuer.Certificate, issuer.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &minted{Certificate: c, key: key}
}

func isCA(c *x509.Certificate) {
	c.IsCA, c.BasicConstraintsValid = true, true
	c.KeyUsage = x509.KeyUsageCertSign
	c.DNSNames, c.IPAddresses = nil, nil
}

// during sets the validity, relative to now.
func during(from, to time.Duration) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		c.NotBefore = time.Now().Add(from).Truncate(time.Second)
		c.NotAfter = time.Now().Add(to).Truncate(time.Second)
	}
}

func spiffeID(t testing.TB, id string) func(*x509.Certificate) {
	t.Helper()
	uri, err := url.Parse(id)
	if err != nil {
		t.Fatal(err)
	}
	return func(c *x509.Certificate) { c.URIs = append(c.URIs, uri) }
}

func pemOf(certificates ...*minted) []byte {
	var b bytes.Buffer
	for _, c := range certificates {
		b.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
	}
	return b.Bytes()
}

func keyPEM(t testing.TB, c *minted) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(c.key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// serving is what a server with these certificates, leaf first, presents.
func serving(leaf *minted, intermediates ...*minted) tls.Certificate {
	c := tls.Certificate{PrivateKey: leaf.key, Certificate: [][]byte{leaf.Raw}}
	for _, i := range intermediates {
		c.Certificate = append(c.Certificate, i.Raw)
	}
	return c
}

// write makes a file, and its folder.
func write(t testing.TB, path string, data []byte) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// pki is the usual three: a root, an intermediate and a leaf.
type pki struct{ root, intermediate, leaf *minted }

func newPKI(t testing.TB, leaf ...func(*x509.Certificate)) pki {
	t.Helper()
	root := mint(t, "root", nil, isCA, during(-48*time.Hour, 1000*time.Hour))
	intermediate := mint(t, "intermediate", root, isCA, during(-48*time.Hour, 100*time.Hour))
	return pki{root: root, intermediate: intermediate, leaf: mint(t, "leaf", intermediate, leaf...)}
}
