package tpm_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/google/go-tpm/tpm2/transport"

	"funlab.casa/attestation_exporter/internal/tower/luks"
	"funlab.casa/attestation_exporter/internal/tower/recorded"
	"funlab.casa/attestation_exporter/internal/tower/swtpm"
	"funlab.casa/attestation_exporter/tpm"
)

// TestPolicyPCRRecorded compares with policies that clevis and
// systemd-cryptenroll had a TPM make.
func TestPolicyPCRRecorded(t *testing.T) {
	tests := []struct {
		name string
		boot string
		bank tpm.Bank
		pcrs string
		want string
	}{
		{"bound boot", "newest", tpm.SHA256, "0,2,4,7", "c2d0602af1050e20195cdc08d1c461ef9c272154e7d6128f2fed9278bdf292bf"},
		{"other kernel", "other", tpm.SHA256, "0,2,4,7", "c43873028fd6365cbabf97412a265c3e2b34c06d6d6f2014cd02fc95af0a1c64"},
		{"sha1 bank under a sha256 policy", "newest", tpm.SHA1, "0,7", "53f9e4123ea972c70b071b1a5ae402769f6a63fe4da5d15a62e9565541cb144e"},
		{"one PCR", "newest", tpm.SHA256, "7", "9a86f045b16f9aba8d780c1275c46b0d8816a02d7835717fdbfcdfe28eab8171"},
		{"two PCRs", "newest", tpm.SHA256, "0,2", "ae45528043f85717e4aa18721d6c99a7c1f3f2619d7c2b20f3a68d2de5436dd3"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			pcrs, err := tpm.ParsePCRs(tt.pcrs)
			if err != nil {
				t.Fatal(err)
			}
			values := recorded.PCRs(t, "../testdata/boot/"+tt.boot+"/pcrread.yaml")
			got, err := tpm.PolicyPCR(tpm.SHA256, tt.bank, pcrs, values)
			if err != nil {
				t.Fatal(err)
			}
			if hex.EncodeToString(got) != tt.want {
				t.Errorf("policy: got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestPolicyPCRCannotBeComputed(t *testing.T) {
	values := tpm.Values{tpm.SHA256: {7: make(tpm.Digest, 32)}}
	tests := []struct {
		name          string
		session, bank tpm.Bank
		pcrs          tpm.PCRSet
		missing       bool
	}{
		{"PCR not read", tpm.SHA256, tpm.SHA256, tpm.NewPCRSet(4, 7), true},
		{"bank not read", tpm.SHA256, tpm.SHA384, tpm.NewPCRSet(7), true},
		{"unknown hash", tpm.Bank(0x27), tpm.SHA256, tpm.NewPCRSet(7), false},
		{"hash without an implementation", tpm.SM3, tpm.SHA256, tpm.NewPCRSet(7), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tpm.PolicyPCR(tt.session, tt.bank, tt.pcrs, values)
			if err == nil || errors.Is(err, tpm.ErrValueMissing) != tt.missing {
				t.Errorf("got %s, error %v, want an error; for a missing value: %t", got, err, tt.missing)
			}
		})
	}
}

// TestPolicyPCRAsTheTPM compares with what a TPM computes in a trial session, for
// random selections of PCRs that have random values.
func TestPolicyPCRAsTheTPM(t *testing.T) {
	chip, err := swtpm.Start(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := chip.Close(); err != nil {
			t.Errorf("close swtpm: %v", err)
		}
	})
	const every = 1<<24 - 1
	for index := range tpm.PCRSet(every).All() {
		if index < 17 { // the higher ones want a locality
			if err := chip.Extend(index, strconv.Itoa(rand.Int())); err != nil {
				t.Fatal(err)
			}
		}
	}
	source := tpm.Source{Device: chip.Socket, DeviceGiven: true, Selection: tpm.Select(every, tpm.SHA256)}
	reading, err := source.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		pcrs := tpm.PCRSet(rand.Uint32N(every) + 1)
		got, err := tpm.PolicyPCR(tpm.SHA256, tpm.SHA256, pcrs, tpm.ValuesOf(reading.PCRs))
		if err != nil {
			t.Fatal(err)
		}
		var want []byte
		err = chip.Do(func(chip transport.TPM) error {
			want, err = luks.Policy(chip, tpm.SHA256, pcrs)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("policy over PCRs %s: got %s, want %x", pcrs, got, want)
		}
	}
}
