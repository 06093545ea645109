package main

import (
	"crypto/rsa"
	"log/slog"
	"math/big"
	"testing"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"funlab.casa/attestation_exporter/internal/tower/swtpm"
)

// The key in the EK certificate is the one that the TPM makes from the template of
// an RSA EK, and so the one that Keylime's agent takes its id from.
func TestEKIsTheTPMsOwn(t *testing.T) {
	dir := t.TempDir()
	if err := swtpm.Manufacture(t.Context(), dir, "sha256"); err != nil {
		t.Fatal(err)
	}
	chip, err := swtpm.Start(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = chip.Close() }()
	var want *big.Int
	err = chip.Do(func(link transport.TPM) error {
		made, err := tpm2.CreatePrimary{
			PrimaryHandle: tpm2.TPMRHEndorsement,
			InPublic:      tpm2.New2B(tpm2.RSAEKTemplate),
		}.Execute(link)
		if err != nil {
			return err
		}
		public, err := made.OutPublic.Contents()
		if err != nil {
			return err
		}
		modulus, err := public.Unique.RSA()
		if err != nil {
			return err
		}
		want = new(big.Int).SetBytes(modulus.Buffer)
		_, err = tpm2.FlushContext{FlushHandle: made.ObjectHandle}.Execute(link)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}

	layer := &tpmLayer{device: chip.Socket, deviceGiven: true, pcrs: "0-7", banks: []string{"sha256"}}
	topics, err := layer.topics(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	got, err := ekOf(topics.tpm.direct)(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	key, ok := got.(*rsa.PublicKey)
	if !ok || key.N.Cmp(want) != 0 {
		t.Errorf("got %v, want the RSA key with the modulus %x", got, want)
	}
}

func TestEKWithoutTPM(t *testing.T) {
	layer := &tpmLayer{device: t.TempDir() + "/absent", pcrs: "0-7", banks: []string{"sha256"}}
	topics, err := layer.topics(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ekOf(topics.tpm.direct)(t.Context()); got != nil || err != nil {
		t.Errorf("got %v, %v, want neither a key nor an error", got, err)
	}
}
