package certs

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// degenerate makes the PKCS #7 message that `openssl crl2pkcs7 -nocrl` makes.
func degenerate(t testing.TB, certificates ...*minted) []byte {
	t.Helper()
	return message(t, signedDataOID, certificates...)
}

func message(t testing.TB, kind asn1.ObjectIdentifier, certificates ...*minted) []byte {
	t.Helper()
	var set []byte
	for _, c := range certificates {
		set = append(set, c.Raw...)
	}
	signedData := marshal(t, struct {
		Version      int
		Digests      []asn1.ObjectIdentifier `asn1:"set"`
		Content      struct{ Type asn1.ObjectIdentifier }
		Certificates asn1.RawValue
		Signers      []int `asn1:"set"`
	}{
		Version:      1,
		Content:      struct{ Type asn1.ObjectIdentifier }{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}},
		Certificates: asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: set},
	})
	return marshal(t, struct {
		Type    asn1.ObjectIdentifier
		Content asn1.RawValue
	}{
		Type:    kind,
		Content: asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: signedData},
	})
}

func marshal(t testing.TB, v any) []byte {
	t.Helper()
	der, err := asn1.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func block(label string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: label, Bytes: der})
}

func TestDecode(t *testing.T) {
	p := newPKI(t)
	leaf, chain, key := pemOf(p.leaf), pemOf(p.leaf, p.intermediate), keyPEM(t, p.leaf)
	bad := block("CERTIFICATE", []byte("no certificate"))
	all := []string{"leaf", "intermediate"}
	tests := []struct {
		name      string
		data      []byte
		want      []string // common names
		malformed int
		reason    LoadReason
	}{
		{"PEM with one", leaf, []string{"leaf"}, 0, ""},
		{"PEM with several", chain, all, 0, ""},
		{"PEM with line ends of DOS", bytes.ReplaceAll(chain, []byte("\n"), []byte("\r\n")), all, 0, ""},
		{"PEM with a byte order mark", append([]byte("\xef\xbb\xbf"), chain...), all, 0, ""},
		{"PEM without a last line end", bytes.TrimSpace(chain), all, 0, ""},
		{"PEM with text between", slices.Concat([]byte("subject=leaf\n"), leaf, []byte("-------\nissuer=root\n")), []string{"leaf"}, 0, ""},
		{"PEM with headers", []byte(strings.Replace(string(leaf), "CERTIFICATE-----\n", "CERTIFICATE-----\nfriendlyName: x\n\n", 1)), []string{"leaf"}, 0, ""},
		{"key before", slices.Concat(key, chain), all, 0, ""},
		{"key after", slices.Concat(chain, key), all, 0, ""},
		{"key half written", slices.Concat(chain, key[:100]), all, 0, ""},
		{"key half written before", slices.Concat(key[:100], []byte("\n"), chain), all, 0, ""},
		{"key that is no base64", slices.Concat([]byte("-----BEGIN PRIVATE KEY-----\n????\n-----END PRIVATE KEY-----\n"), leaf), []string{"leaf"}, 0, ""},
		{"old label", block("X509 CERTIFICATE", p.leaf.Raw), []string{"leaf"}, 0, ""},
		{"OpenSSL's trusted certificate", block("TRUSTED CERTIFICATE", slices.Concat(p.leaf.Raw, []byte{0x30, 0x00})), []string{"leaf"}, 0, ""},
		{"DER", p.leaf.Raw, []string{"leaf"}, 0, ""},
		{"DER, several", slices.Concat(p.leaf.Raw, p.intermediate.Raw), all, 0, ""},
		{"PKCS #7 in DER", degenerate(t, p.leaf, p.intermediate), all, 0, ""},
		{"PKCS #7 in PEM", block("PKCS7", degenerate(t, p.leaf, p.intermediate)), all, 0, ""},
		{"CMS in PEM", block("CMS", degenerate(t, p.leaf)), []string{"leaf"}, 0, ""},

		{"one bad among several", slices.Concat(leaf, bad, pemOf(p.intermediate)), all, 1, Malformed},
		{"half written at the end", chain[:len(chain)-40], []string{"leaf"}, 1, Malformed},
		{"half written in the middle", slices.Concat(chain[:200], []byte("\n"), leaf), []string{"leaf"}, 1, Malformed},
		{"half a boundary", slices.Concat(leaf, []byte("-----BEGIN CERT")), []string{"leaf"}, 1, Malformed},
		{"head cut off", chain[40:], []string{"intermediate"}, 1, Malformed},
		{"half of the base64 gone", slices.Concat(leaf[:300], []byte("\n-----END CERTIFICATE-----\n")), nil, 1, Malformed},
		{"DER cut off", p.leaf.Raw[:200], nil, 1, Malformed},
		{"PKCS #7 cut off", degenerate(t, p.leaf)[:200], nil, 1, Malformed},
		{"PKCS #7 of other content", message(t, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 3}, p.leaf), nil, 1, Malformed},
		{"neither", []byte("certificate"), nil, 1, Malformed},
		{"a key in DER", mustKeyDER(t, p.leaf), nil, 1, Malformed},

		{"nothing", nil, nil, 0, Empty},
		{"line ends", []byte("\n\n"), nil, 0, Empty},
		{"key alone", key, nil, 0, Empty},
		{"PKCS #7 without certificates", degenerate(t), nil, 0, Empty},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := decode(tt.data)
			got := commonNames(d)
			if !slices.Equal(got, tt.want) || d.malformed != tt.malformed {
				t.Errorf("decode: got %q and %d malformed (%v), want %q and %d", got, d.malformed, d.malformation, tt.want, tt.malformed)
			}
			if reason := reasonOf(d.err()); reason != tt.reason {
				t.Errorf("reason: got %q, want %q", reason, tt.reason)
			}
		})
	}
}

func mustKeyDER(t testing.TB, c *minted) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(c.key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// What was decoded must not point into the file's bytes, which are wiped since a
// key may stand among them.
func TestDecodeKeepsNothing(t *testing.T) {
	p := newPKI(t)
	for _, data := range [][]byte{pemOf(p.leaf), bytes.Clone(p.leaf.Raw), degenerate(t, p.leaf)} {
		d := decode(data)
		clear(data)
		if len(d.certificates) != 1 || !bytes.Equal(d.certificates[0].Raw, p.leaf.Raw) {
			t.Errorf("certificate is gone with the bytes that it was decoded from")
		}
	}
}

// Nested sequences are what keeps a decoder of BER busy: doubling their number
// must not make them four times as dear.
func TestDecodeNested(t *testing.T) {
	data := append(bytes.Repeat([]byte{0x30, 0x80}, maxCertificateFile/4), make([]byte, maxCertificateFile/2)...)
	begin := time.Now()
	d := decode(data)
	if took := time.Since(begin); took > time.Second {
		t.Errorf("nested sequences: got an answer after %v, want one at once", took)
	}
	if d.err() == nil {
		t.Errorf("nested sequences: got certificates %v, want an error", d.certificates)
	}
}

func TestDecodeHugeKey(t *testing.T) {
	issuer := mint(t, "root", nil, isCA)
	modulus := new(big.Int).Add(new(big.Int).Lsh(big.NewInt(1), 20000), big.NewInt(1))
	der, err := x509.CreateCertificate(rand.Reader, issuer.Certificate, issuer.Certificate,
		&rsa.PublicKey{N: modulus, E: 65537}, issuer.key)
	if err != nil {
		t.Fatal(err)
	}
	if d := decode(der); len(d.certificates) != 0 || d.malformed != 1 {
		t.Errorf("RSA key of 20,001 bits: got %d certificates and %d malformed, want 0 and 1", len(d.certificates), d.malformed)
	}
}

// The containers that OpenSSL really writes.
func TestDecodeOpenSSL(t *testing.T) {
	tests := []struct {
		file string
		want []string
	}{
		{"openssl_crl2pkcs7.p7b", []string{"recorded leaf", "recorded root"}},
		{"openssl_crl2pkcs7.der.p7b", []string{"recorded leaf", "recorded root"}},
		{"openssl_cms_signed.pem", []string{"recorded leaf", "recorded root"}},
		{"openssl_trusted.pem", []string{"recorded leaf"}},
	}
	for _, tt := range tests {
		t.Run(tt.file, func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join("..", "testdata", "certs", tt.file))
			if err != nil {
				t.Fatal(err)
			}
			d := decode(data)
			got := commonNames(d)
			slices.Sort(got)
			if !slices.Equal(got, tt.want) || d.malformed != 0 {
				t.Errorf("decode: got %q and %d malformed (%v), want %q", got, d.malformed, d.malformation, tt.want)
			}
		})
	}
}

func commonNames(d document) []string {
	var names []string
	for _, c := range d.certificates {
		names = append(names, c.Subject.CommonName)
	}
	return names
}

func FuzzDecode(f *testing.F) {
	p := newPKI(f)
	f.Add(pemOf(p.leaf, p.intermediate))
	f.Add(p.leaf.Raw)
	f.Add(degenerate(f, p.leaf))
	f.Add(block("PKCS7", degenerate(f, p.leaf)))
	f.Add(block("TRUSTED CERTIFICATE", p.leaf.Raw))
	f.Add(append(keyPEM(f, p.leaf), pemOf(p.leaf)...))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n-----END "))
	recorded, err := filepath.Glob(filepath.Join("..", "testdata", "certs", "openssl_*"))
	if err != nil || len(recorded) == 0 {
		f.Fatalf("no recorded files: %v", err)
	}
	for _, path := range recorded {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d := decode(bytes.Clone(data))
		if (d.malformed > 0) != (d.malformation != nil) {
			t.Errorf("got %d malformed with error %v", d.malformed, d.malformation)
		}
		if first := FirstToEnd(d.certificates); (first == nil) != (len(d.certificates) == 0) {
			t.Errorf("got first %v of %d certificates", first, len(d.certificates))
		} else if first != nil && (len(first.Subject) > maxNameLength || len(first.Issuer) > maxNameLength) {
			t.Errorf("got names of %d and %d bytes", len(first.Subject), len(first.Issuer))
		}
	})
}
