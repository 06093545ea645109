package tpm

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"

	"funlab.casa/attestation_exporter/certs"
	"funlab.casa/attestation_exporter/failure"
)

// mintEK returns a certificate and what should be found in it.
func mintEK(t testing.TB) ([]byte, certs.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(7),
		Subject:      pkix.Name{CommonName: "Infineon EK"},
		NotBefore:    time.Date(2017, 3, 4, 5, 6, 7, 0, time.UTC),
		NotAfter:     time.Date(2032, 3, 4, 5, 6, 7, 0, time.UTC),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return der, certs.Certificate{
		NotBefore: template.NotBefore, NotAfter: template.NotAfter, Subject: "CN=Infineon EK", Issuer: "CN=Infineon EK",
	}
}

func TestEKCertificates(t *testing.T) {
	der, facts := mintEK(t)
	broken := bytes.Replace(der, []byte("170304050607Z"), []byte("17030405060xZ"), 1)
	fake := newFakeTPM()
	fake.nv = map[tpm2.TPMHandle][]byte{
		0x01c00001: der, // before the profile's range
		0x01c00002: der,
		0x01c00003: bytes.Repeat([]byte{0x5a}, 20),                  // a nonce
		0x01c00004: tpm2.Marshal(tpm2.RSAEKTemplate),                // a template
		0x01c0000a: append(bytes.Clone(der), make([]byte, 1700)...), // padded
		0x01c00012: append(bytes.Clone(der), bytes.Repeat([]byte{0xff}, 300)...),
		0x01c00014: broken,
		0x01c00016: nil,
		0x01c00018: append(bytes.Clone(der), make([]byte, maxEKSize)...),
		0x01c00080: der, // after it
	}
	reading, err := fake.source(nil).Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	key := parsed.RawSubjectPublicKeyInfo
	want := []EKCertificate{
		{Index: 0x01c00002, Certificate: facts, PublicKey: key},
		{Index: 0x01c0000a, Certificate: facts, PublicKey: key},
		{Index: 0x01c00012, Certificate: facts, PublicKey: key},
		{Index: 0x01c00014, Failed: certs.Malformed},
	}
	if !reflect.DeepEqual(reading.EKCertificates, want) {
		t.Errorf("got %+v, want %+v", reading.EKCertificates, want)
	}
}

func TestEKNotGiven(t *testing.T) {
	der, _ := mintEK(t)
	for _, test := range []struct {
		name   string
		answer func(tpm2.TPMCC) []byte
		reason failure.Reason // empty: no error
	}{
		{"wants a secret", only(tpm2.TPMCCNVRead, refusal(tpm2.TPMRCBadAuth|0x900)), ""},
		{"gone meanwhile", only(tpm2.TPMCCNVReadPublic, refusal(tpm2.TPMRCHandle|0x100)), failure.Internal},
		{"no progress", only(tpm2.TPMCCNVRead, sessionResponse([]byte{0, 0})), failure.Malformed},
		{"more than there is", only(tpm2.TPMCCNVRead, sessionResponse(append([]byte{4, 0}, make([]byte, 1024)...))), failure.Malformed},
		{"handles out of order", func(code tpm2.TPMCC) []byte {
			return only(tpm2.TPMCCGetCapability, response([]byte{1}, number(uint32(tpm2.TPMCapHandles)), number(1), number(0x01000000)))(code)
		}, failure.Malformed},
	} {
		t.Run(test.name, func(t *testing.T) {
			fake := newFakeTPM()
			fake.nv[firstEKIndex] = der
			fake.answer = test.answer
			chip, err := openChip(t.Context(), "fake", fake.source(nil).open)
			if err != nil {
				t.Fatal(err)
			}
			got, err := readEKCertificates(chip.until(t.Context()), 512)
			if len(got) != 0 {
				t.Errorf("got %+v, want none", got)
			}
			checkReason(t, err, test.reason)
		})
	}
}

func FuzzParseEKCertificate(f *testing.F) {
	der, _ := mintEK(f)
	f.Add(der)
	f.Add(append(bytes.Clone(der), make([]byte, 100)...))
	f.Add(der[:len(der)-1])
	f.Add(tpm2.Marshal(tpm2.ECCEKTemplate))
	f.Fuzz(func(t *testing.T, content []byte) {
		got, ok := parseEKCertificate(firstEKIndex, content)
		if ok == reflect.DeepEqual(got, EKCertificate{}) {
			t.Errorf("got %+v, %v", got, ok)
		}
		padded, ok2 := parseEKCertificate(firstEKIndex, append(bytes.Clone(content), 0xff))
		if ok && (!ok2 || !reflect.DeepEqual(padded, got)) {
			t.Errorf("padded: got %+v, %v, want %+v", padded, ok2, got)
		}
	})
}
