package luks_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2/transport"

	"funlab.casa/attestation_exporter/boot"
	"funlab.casa/attestation_exporter/internal/tower/firmware"
	towerluks "funlab.casa/attestation_exporter/internal/tower/luks"
	"funlab.casa/attestation_exporter/internal/tower/swtpm"
	"funlab.casa/attestation_exporter/luks"
	"funlab.casa/attestation_exporter/tpm"
)

// A host has a software TPM, a disk bound to it, and a firmware that measures.
type host struct {
	t     *testing.T
	chip  *swtpm.TPM
	files firmware.Host
	boots *boot.Source
	disks *luks.Source
	token towerluks.Token
}

const bindingPCRs = "0,2,4,7"

func newHost(t *testing.T) *host {
	t.Helper()
	chip, err := swtpm.Start(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := chip.Close(); err != nil {
			t.Errorf("close swtpm: %v", err)
		}
	})
	h := &host{t: t, chip: chip, files: firmware.Host{Root: t.TempDir()}}
	h.restart("kernel 1")

	// The moment in which a reading is shared is so short that each reading of the
	// test makes its own.
	shared := tpm.NewShared(&tpm.Source{Device: chip.Socket, DeviceGiven: true, Selection: tpm.Select(tpm.NewPCRSet(0, 1, 2, 3, 4, 5, 6, 7), tpm.SHA256)}, time.Nanosecond)
	h.boots = &boot.Source{
		EventLog: filepath.Join(h.files.Root, "log"), EventLogGiven: true,
		Files: []string{filepath.Join(h.files.Root, "boot/*")},
		Banks: []tpm.Bank{tpm.SHA256}, PCRs: shared.Values,
	}
	h.disks = &luks.Source{Devices: []string{filepath.Join(h.files.Root, "disk.img")}, Measured: h.boots.Measured}
	h.bind()
	return h
}

// restart boots the host with a kernel, and leaves its log.
func (h *host) restart(kernel string) {
	h.t.Helper()
	image := firmware.Image(firmware.Kernel(kernel), "signed")
	log := firmware.Log{Banks: []tpm.Bank{tpm.SHA256}}
	log.Variable("SecureBoot", []byte{1})
	log.Separators()
	log.Application(image)
	for _, err := range []error{
		h.chip.Restart(h.t.Context()),
		h.chip.Do(log.Extend),
		h.files.Write("log", log.Bytes()),
		h.files.Write("boot/vmlinuz", image),
	} {
		if err != nil {
			h.t.Fatal(err)
		}
	}
}

func (h *host) bind() {
	h.t.Helper()
	pcrs, err := tpm.ParsePCRs(bindingPCRs)
	if err != nil {
		h.t.Fatal(err)
	}
	err = h.chip.Do(func(chip transport.TPM) error {
		h.token, err = towerluks.Bind(chip, tpm.SHA256, pcrs)
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	image, err := towerluks.Image(true, h.token)
	if err != nil {
		h.t.Fatal(err)
	}
	if err := h.files.Write("disk.img", image); err != nil {
		h.t.Fatal(err)
	}
}

// check compares the verdict with what the TPM itself does about the binding now.
func (h *host) check(when string, verdict luks.Verdict, opens bool) {
	h.t.Helper()
	reading, err := h.disks.Read(h.t.Context())
	if err != nil {
		h.t.Fatalf("%s: %v", when, err)
	}
	device := reading.Devices[0]
	if got := device.Bindings[0].Verdict; got != verdict {
		h.t.Errorf("%s: got verdict %q, want %q", when, got, verdict)
	}
	if want := (luks.Keyslots{TPM: 1, Other: 1}); device.Keyslots != want {
		h.t.Errorf("%s: got keyslots %+v, want %+v", when, device.Keyslots, want)
	}
	err = h.chip.Do(func(chip transport.TPM) error { return towerluks.Open(chip, h.token) })
	if (err == nil) != opens {
		h.t.Errorf("%s: the TPM opens the token: got error %v, want it to open: %t", when, err, opens)
	}
}

// TestStory is a kernel update that strands a host, and the way out of it.
func TestStory(t *testing.T) {
	h := newHost(t)
	h.check("bound", luks.Satisfied, true)

	if err := h.files.Write("boot/vmlinuz", firmware.Image(firmware.Kernel("kernel 2"), "signed")); err != nil {
		t.Fatal(err)
	}
	h.check("kernel updated", luks.Satisfied, true)
	reading, err := h.boots.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(reading.Files) != 1 || reading.Files[0].Matches || !*reading.Forecast {
		t.Errorf("kernel updated: got files %+v, want one that doesn't match", reading.Files)
	}

	h.restart("kernel 2")
	h.check("booted the new kernel", luks.Unsatisfied, false)
	h.bind()
	h.check("bound anew", luks.Satisfied, true)

	if err := h.chip.Extend(7, "something at run time"); err != nil {
		t.Fatal(err)
	}
	h.check("PCR 7 extended at run time: the next boot opens", luks.Satisfied, false)
	if reading, err = h.boots.Read(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, match := range reading.Log.Matches {
		if want := match.PCR != 7; match.Matches != want {
			t.Errorf("PCR %d: got match %t, want %t", match.PCR, match.Matches, want)
		}
	}
	h.bind()
	h.check("bound to a value that no boot has", luks.Unforetellable, true)
	h.restart("kernel 2")
	h.check("and booted", luks.Unsatisfied, false)
}

func TestNoPassphrase(t *testing.T) {
	h := newHost(t)
	image, err := towerluks.Image(false, h.token, h.token)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(path, image, 0o600); err != nil {
		t.Fatal(err)
	}
	h.disks.Devices = []string{path}
	reading, err := h.disks.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got, want := reading.Devices[0].Keyslots, (luks.Keyslots{TPM: 2}); got != want {
		t.Errorf("keyslots: got %+v, want %+v", got, want)
	}
}
