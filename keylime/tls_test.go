package keylime

import (
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
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/config"
)

// An identity is a certificate with what it was signed by, and its key.
type identity struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	chain       [][]byte // from the certificate up, without the root
}

// mint makes a certificate signed by issuer, or by itself where that is nil.
func mint(t testing.TB, name string, issuer *identity, change ...func(*x509.Certificate)) *identity {
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
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		DNSNames:     []string{"localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, c := range change {
		c(template)
	}
	parent, signer := template, key
	if issuer != nil {
		parent, signer = issuer.certificate, issuer.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	minted := &identity{certificate: certificate, key: key}
	if issuer != nil {
		minted.chain = append([][]byte{der}, issuer.chain...)
	}
	return minted
}

func asCA(template *x509.Certificate) {
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign
	template.ExtKeyUsage = nil
}

func expired(template *x509.Certificate) {
	template.NotBefore, template.NotAfter = time.Now().Add(-48*time.Hour), time.Now().Add(-24*time.Hour)
}

// An estate is the certificates of one Keylime installation.
type estate struct {
	root, intermediate, server, client *identity
}

func newEstate(t testing.TB) estate {
	t.Helper()
	var e estate
	e.root = mint(t, "root", nil, asCA)
	e.intermediate = mint(t, "intermediate", e.root, asCA)
	e.server = mint(t, "server", e.intermediate)
	e.client = mint(t, "exporter", e.intermediate)
	return e
}

// serverTLS is the TLS of a release from 7.14 on: clients may come without a
// certificate, but not with a wrong one.
func (e estate) serverTLS() *tls.Config {
	return &tls.Config{
		Certificates: []tls.Certificate{e.server.pair()},
		ClientCAs:    e.root.pool(),
		ClientAuth:   tls.VerifyClientCertIfGiven,
		MinVersion:   tls.VersionTLS12,
	}
}

func (i *identity) pair() tls.Certificate {
	chain := i.chain
	if chain == nil {
		chain = [][]byte{i.certificate.Raw}
	}
	return tls.Certificate{Certificate: chain, PrivateKey: i.key}
}

func (i *identity) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(i.certificate)
	return pool
}

func (i *identity) certificatePEM() string {
	var text strings.Builder
	for _, der := range i.pair().Certificate {
		text.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	}
	return text.String()
}

func (i *identity) keyPEM(t testing.TB) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(i.key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// httpConfig writes the certificates of client to dir, with an HTTP configuration
// that names them, and loads it. A nil client has no certificate.
func httpConfig(t testing.TB, dir string, root, client *identity, lines ...string) *config.HTTPClientConfig {
	t.Helper()
	text := []string{"tls_config:", "  ca_file: ca.crt"}
	writeFile(t, filepath.Join(dir, "ca.crt"), root.certificatePEM())
	if client != nil {
		writeFile(t, filepath.Join(dir, "client.crt"), client.certificatePEM())
		writeFile(t, filepath.Join(dir, "client.key"), client.keyPEM(t))
		text = append(text, "  cert_file: client.crt", "  key_file: client.key")
	}
	path := filepath.Join(dir, "http.yml")
	writeFile(t, path, strings.Join(slices.Concat(text, lines, []string{""}), "\n"))
	loaded, err := LoadHTTPConfig(path)
	if err != nil {
		t.Fatal(err)
	}
	return loaded
}

func writeFile(t testing.TB, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func mustURL(t testing.TB, address string) url.URL {
	t.Helper()
	parsed, err := parseURL(address)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}
