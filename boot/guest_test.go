//go:build guest

package boot_test

import (
	"bytes"
	"encoding/hex"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"

	"funlab.casa/attestation_exporter/boot"
	"funlab.casa/attestation_exporter/collector"
	"funlab.casa/attestation_exporter/ima"
	towerluks "funlab.casa/attestation_exporter/internal/tower/luks"
	"funlab.casa/attestation_exporter/luks"
	"funlab.casa/attestation_exporter/tpm"
)

// The tests in this file run inside the guest, as TestStory of the conformance
// tests has it.

// guest makes the sources of a host with everything at its standard place.
func guest() (*tpm.Source, *boot.Source, luks.Source) {
	chip := &tpm.Source{
		Device: tpm.DefaultDevice, Sysfs: tpm.DefaultSysfs, BootID: tpm.DefaultBootID,
		Selection: tpm.Select(tpm.NewPCRSet(0, 1, 2, 3, 4, 5, 6, 7), tpm.SHA256),
	}
	boots := &boot.Source{
		EventLog: boot.DefaultEventLog, Banks: []tpm.Bank{tpm.SHA256},
		PCRs: tpm.NewShared(chip, time.Nanosecond).Values, IMA: &ima.Source{Directory: ima.DefaultDirectory},
	}
	return chip, boots, luks.Source{Measured: boots.Measured}
}

// updating makes a Collector of ours one of the library's.
type updating struct {
	t *testing.T
	collector.Collector
}

func (u updating) Describe(chan<- *prometheus.Desc) {}

func (u updating) Collect(ch chan<- prometheus.Metric) {
	if err := u.Update(u.t.Context(), ch); err != nil {
		u.t.Error(err)
	}
}

// TestExposition writes what the two collectors expose to the file GUEST_OUTPUT.
func TestExposition(t *testing.T) {
	_, boots, disks := guest()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(updating{t, collector.NewBoot(boots.Read)}, updating{t, collector.NewLUKS(disks.Read)})
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	for _, family := range families {
		if _, err := expfmt.MetricFamilyToText(&text, family); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(os.Getenv("GUEST_OUTPUT"), text.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestPolicy compares policies with those that tpm2_policypcr computes, for random
// selections.
func TestPolicy(t *testing.T) {
	chip, _, _ := guest()
	directory := t.TempDir()
	session, output := filepath.Join(directory, "session"), filepath.Join(directory, "policy")
	run := func(name string, arguments ...string) {
		t.Helper()
		if text, err := exec.Command(name, arguments...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", name, err, text)
		}
	}
	for range 10 {
		// The tool takes eight at most. PCR 10 moves with each program that is
		// started for the first time.
		pcrs := tpm.NewPCRSet(rand.Perm(24)[:rand.IntN(8)]...)&^tpm.NewPCRSet(10) | tpm.NewPCRSet(7)
		for _, bank := range []tpm.Bank{tpm.SHA1, tpm.SHA256} {
			_, values, err := chip.ReadAlso(t.Context(), nil)
			if err == nil {
				_, values, err = chip.ReadAlso(t.Context(), tpm.Select(pcrs, bank))
			}
			if err != nil {
				t.Fatal(err)
			}
			got, err := tpm.PolicyPCR(tpm.SHA256, bank, pcrs, values)
			if err != nil {
				t.Fatal(err)
			}
			run("tpm2_startauthsession", "-S", session)
			run("tpm2_policypcr", "-S", session, "-l", bank.String()+":"+pcrs.String(), "-L", output)
			run("tpm2_flushcontext", session)
			want, err := os.ReadFile(output)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s:%s: got %s, want %s", bank, pcrs, got, hex.EncodeToString(want))
			}
		}
	}
}

// TestHeaderByCryptsetup has cryptsetup read a header of the tests' and the demo's.
func TestHeaderByCryptsetup(t *testing.T) {
	image, err := towerluks.Image(true)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(path, append(image, make([]byte, 17<<20)...), 0o600); err != nil {
		t.Fatal(err)
	}
	if text, err := exec.Command("cryptsetup", "luksDump", path).CombinedOutput(); err != nil {
		t.Errorf("cryptsetup: %v: %s", err, text)
	}
}

func BenchmarkBoot(b *testing.B) {
	_, boots, _ := guest()
	if _, err := boots.Read(b.Context()); err != nil { // which reads the files
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := boots.Read(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLUKS(b *testing.B) {
	_, _, disks := guest()
	for b.Loop() {
		if _, err := disks.Read(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
