package tpm

import (
	"context"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"funlab.casa/attestation_exporter/internal/tower/swtpm"
)

// BenchmarkQuote measures what a reading costs the quotes that Keylime's agent asks
// of the same TPM. Beside a reading each quote comes when a reading has just begun,
// and waits for the whole of it: swtpm serves one connection after the other. The
// kernel's /dev/tpmrm0 lets a quote in between two commands.
func BenchmarkQuote(b *testing.B) {
	chip := startTPM(b)
	key := attestationKey(b, chip)
	source := sourceOf(chip, Select(NewPCRSet(0, 1, 2, 3, 4, 5, 6, 7), SHA256))
	if _, err := source.Read(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.Run("alone", func(b *testing.B) {
		measureQuotes(b, chip, key, func() (end func()) { return func() {} })
	})
	b.Run("beside a reading", func(b *testing.B) {
		measureQuotes(b, chip, key, func() (end func()) { return beginReading(b, source) })
	})
}

// measureQuotes reports the median and the longest quote. What begin begins before a
// quote is ended after it.
func measureQuotes(b *testing.B, chip *swtpm.TPM, key tpm2.NamedHandle, begin func() (end func())) {
	b.Helper()
	var took []time.Duration
	for b.Loop() {
		end := begin()
		asked := time.Now()
		quote(b, chip, key)
		took = append(took, time.Since(asked))
		end()
	}
	slices.Sort(took)
	b.ReportMetric(took[len(took)/2].Seconds()*1000, "ms/median-quote")
	b.ReportMetric(took[len(took)-1].Seconds()*1000, "ms/longest-quote")
}

// beginReading returns when the reading is connected.
func beginReading(b *testing.B, source *Source) (end func()) {
	b.Helper()
	connected, read := make(chan struct{}), make(chan error, 1)
	source.open = func(ctx context.Context, path string) (io.ReadWriteCloser, error) {
		link, err := openDevice(ctx, path)
		close(connected)
		return link, err
	}
	go func() { _, err := source.Read(b.Context()); read <- err }()
	<-connected
	return func() {
		if err := <-read; err != nil {
			b.Fatal(err)
		}
	}
}

// attestationKey makes a key of the kind that Keylime's agent signs its quotes with.
// It stays in the TPM from one connection to the next.
func attestationKey(b *testing.B, chip *swtpm.TPM) tpm2.NamedHandle {
	b.Helper()
	var key tpm2.NamedHandle
	if err := chip.Do(func(link transport.TPM) error {
		made, err := tpm2.CreatePrimary{
			PrimaryHandle: tpm2.TPMRHEndorsement,
			InPublic: tpm2.New2B(tpm2.TPMTPublic{
				Type:    tpm2.TPMAlgRSA,
				NameAlg: tpm2.TPMAlgSHA256,
				ObjectAttributes: tpm2.TPMAObject{
					FixedTPM: true, FixedParent: true, SensitiveDataOrigin: true, UserWithAuth: true, Restricted: true, SignEncrypt: true,
				},
				Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgRSA, &tpm2.TPMSRSAParms{
					KeyBits: 2048,
					Scheme: tpm2.TPMTRSAScheme{
						Scheme:  tpm2.TPMAlgRSASSA,
						Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgRSASSA, &tpm2.TPMSSigSchemeRSASSA{HashAlg: tpm2.TPMAlgSHA256}),
					},
				}),
			}),
		}.Execute(link)
		if err == nil {
			key = tpm2.NamedHandle{Handle: made.ObjectHandle, Name: made.Name}
		}
		return err
	}); err != nil {
		b.Fatal(err)
	}
	return key
}

func quote(b *testing.B, chip *swtpm.TPM, key tpm2.NamedHandle) {
	b.Helper()
	if err := chip.Do(func(link transport.TPM) error {
		_, err := tpm2.Quote{
			SignHandle:     tpm2.AuthHandle{Handle: key.Handle, Name: key.Name, Auth: tpm2.PasswordAuth(nil)},
			QualifyingData: tpm2.TPM2BData{Buffer: []byte("nonce")},
			InScheme:       tpm2.TPMTSigScheme{Scheme: tpm2.TPMAlgNull},
			PCRSelect: tpm2.TPMLPCRSelection{PCRSelections: []tpm2.TPMSPCRSelection{
				{Hash: tpm2.TPMAlgSHA256, PCRSelect: selectBytes(NewPCRSet(0, 1, 2, 3, 4, 5, 6, 7, 10))},
			}},
		}.Execute(link)
		return err
	}); err != nil {
		b.Fatal(err)
	}
}
