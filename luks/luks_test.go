package luks_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"golang.org/x/sys/unix"

	"funlab.casa/attestation_exporter/failure"
	"funlab.casa/attestation_exporter/internal/tower/recorded"
	"funlab.casa/attestation_exporter/luks"
	"funlab.casa/attestation_exporter/tpm"
)

// measured answers with the values of a recorded boot, as its log and its chip
// agree on them.
func measured(t testing.TB, boot string) func(context.Context, tpm.Selection) (tpm.Measured, error) {
	values := recorded.PCRs(t, "../testdata/boot/"+boot+"/pcrread.yaml")
	return func(context.Context, tpm.Selection) (tpm.Measured, error) {
		return tpm.Measured{Boot: values, Chip: values}, nil
	}
}

func sha256PCRs(indices ...int) []luks.PCR {
	var pcrs []luks.PCR
	for _, index := range indices {
		pcrs = append(pcrs, luks.PCR{Bank: tpm.SHA256, Index: index})
	}
	return pcrs
}

func sha1PCRs(indices ...int) []luks.PCR {
	pcrs := sha256PCRs(indices...)
	for i := range pcrs {
		pcrs[i].Bank = tpm.SHA1
	}
	return pcrs
}

func TestReadRecorded(t *testing.T) {
	all := sha256PCRs(0, 2, 4, 7)
	bound := func(verdict luks.Verdict) []luks.Binding {
		return []luks.Binding{
			{Token: "0", Type: luks.Clevis, Bank: "sha256", PCRs: "0,2,4,7", Verdict: verdict, StandsOn: all},
			{Token: "1", Type: luks.Clevis, Bank: "sha256", PCRs: "0,2,4,7", Verdict: verdict, StandsOn: all},
			{Token: "2", Type: luks.Systemd, Bank: "sha256", PCRs: "0,2,4,7", Verdict: verdict, StandsOn: all},
		}
	}
	tests := []struct {
		name     string
		image    string
		boot     string
		bindings []luks.Binding
		keyslots luks.Keyslots
	}{
		{"bound boot", "data", "newest", bound(luks.Satisfied), luks.Keyslots{TPM: 3, Other: 1}},
		{"other kernel", "data", "other", bound(luks.Unsatisfied), luks.Keyslots{TPM: 3, Other: 1}},
		{"passphrase only", "no-token", "newest", nil, luks.Keyslots{Other: 1}},
		{"no PCR policy", "no-pcrs", "other", []luks.Binding{
			{Token: "0", Type: luks.Clevis, Verdict: luks.Satisfied},
		}, luks.Keyslots{TPM: 1, Other: 1}},
		{"sha1 bank, rsa primary key", "sha1-rsa", "newest", []luks.Binding{
			{Token: "0", Type: luks.Clevis, Bank: "sha1", PCRs: "0,7", Verdict: luks.Satisfied, StandsOn: sha1PCRs(0, 7)},
		}, luks.Keyslots{TPM: 1, Other: 1}},
		{"one of two secrets is enough", "sss", "newest", []luks.Binding{
			{Token: "0", Type: luks.Clevis, Bank: "sha256", PCRs: "7;0,2", Verdict: luks.Satisfied},
		}, luks.Keyslots{TPM: 1, Other: 1}},
		{"one of two secrets fits", "sss", "secure-boot-off", []luks.Binding{
			{Token: "0", Type: luks.Clevis, Bank: "sha256", PCRs: "7;0,2", Verdict: luks.Unsatisfied, StandsOn: sha256PCRs(7, 0, 2)},
		}, luks.Keyslots{TPM: 1, Other: 1}},
		{"PIN beside PCR 7", "systemd-pcr7", "newest", []luks.Binding{
			{Token: "0", Type: luks.Systemd, Bank: "sha256", PCRs: "7", Verdict: luks.Satisfied, StandsOn: sha256PCRs(7)},
			{Token: "1", Type: luks.Systemd, Verdict: luks.Unforetellable},
		}, luks.Keyslots{TPM: 2, Other: 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := "../testdata/luks/" + tt.image + ".header.bin"
			source := luks.Source{Devices: []string{path}, Measured: measured(t, tt.boot)}
			got, err := source.Read(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			want := luks.Reading{Devices: []luks.Device{{
				Path: path, Format: luks.LUKS2, Readable: true, Bindings: tt.bindings, Keyslots: tt.keyslots,
			}}}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("reading:\n got %+v\nwant %+v", got, want)
			}
		})
	}
}

// TestLogDecides has a chip and a log that don't agree about PCR 7.
func TestLogDecides(t *testing.T) {
	good := recorded.PCRs(t, "../testdata/boot/newest/pcrread.yaml")
	extended, _ := tpm.SHA256.Extend(good[tpm.SHA256][7], make(tpm.Digest, 32))
	bad := good.Overlay(tpm.Values{tpm.SHA256: {7: extended}})
	tests := []struct {
		name       string
		boot, chip tpm.Values
		want       luks.Verdict
	}{
		{"extended since boot: the next boot won't be", good, bad, luks.Satisfied},
		{"no chip to ask", good, nil, luks.Satisfied},
		{"log or chip, one fits: nobody can say", bad, good, luks.Unforetellable},
		{"neither fits", bad, bad, luks.Unsatisfied},
		{"values not read", nil, nil, luks.Unread},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			source := luks.Source{
				Devices: []string{"../testdata/luks/data.header.bin"},
				Measured: func(context.Context, tpm.Selection) (tpm.Measured, error) {
					return tpm.Measured{Boot: tt.boot, Chip: tt.chip}, nil
				},
			}
			reading, err := source.Read(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got := reading.Devices[0].Bindings[0].Verdict; got != tt.want {
				t.Errorf("verdict: got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestReadPartly(t *testing.T) {
	directory := t.TempDir()
	noise := filepath.Join(directory, "noise")
	fifo := filepath.Join(directory, "fifo")
	if err := errors.Join(os.WriteFile(noise, make([]byte, 1<<20), 0o600), unix.Mkfifo(fifo, 0o600)); err != nil {
		t.Fatal(err)
	}
	unavailable := failure.Errorf(failure.Unreachable, "no answer")
	tests := []struct {
		name   string
		path   string
		reason failure.Reason
	}{
		{"absent", filepath.Join(directory, "nothing"), failure.Unreachable},
		{"not a header", noise, failure.Malformed},
		{"not a device", fifo, failure.Malformed},
		{"a folder", directory, failure.Malformed},
		{"endless", "/dev/zero", failure.Malformed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			source := luks.Source{
				Devices:  []string{tt.path, "../testdata/luks/no-token.header.bin"},
				Measured: measured(t, "newest"),
			}
			reading, err := source.Read(t.Context())
			if err == nil || failure.Of(err) != tt.reason {
				t.Errorf("error: got %v, want reason %s", err, tt.reason)
			}
			if len(reading.Devices) != 2 || reading.Devices[0].Readable || !reading.Devices[1].Readable {
				t.Errorf("devices: got %+v, want the second one only to be readable", reading.Devices)
			}
		})
	}
	t.Run("TPM silent", func(t *testing.T) {
		source := luks.Source{
			Devices: []string{"../testdata/luks/data.header.bin"},
			Measured: func(context.Context, tpm.Selection) (tpm.Measured, error) {
				return tpm.Measured{}, unavailable
			},
		}
		reading, err := source.Read(t.Context())
		if !errors.Is(err, unavailable) {
			t.Errorf("error: got %v, want %v", err, unavailable)
		}
		if got := reading.Devices[0]; got.Keyslots.Other != 1 || got.Bindings[0].Verdict != luks.Unread {
			t.Errorf("device: got %+v, want its keyslots, and no verdict", got)
		}
	})
}

// TestAsksForWhatPoliciesName looks at the PCRs that a reading needs.
func TestAsksForWhatPoliciesName(t *testing.T) {
	var asked tpm.Selection
	source := luks.Source{
		Devices: []string{"../testdata/luks/data.header.bin", "../testdata/luks/sha1-rsa.header.bin"},
		Measured: func(_ context.Context, selection tpm.Selection) (tpm.Measured, error) {
			asked = selection
			return tpm.Measured{}, nil
		},
	}
	if _, err := source.Read(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := tpm.Selection{tpm.SHA256: tpm.NewPCRSet(0, 2, 4, 7), tpm.SHA1: tpm.NewPCRSet(0, 7)}
	if !reflect.DeepEqual(asked, want) {
		t.Errorf("selection: got %v, want %v", asked, want)
	}
}

func TestOpenDevices(t *testing.T) {
	sysfs := t.TempDir()
	device := func(name, uuid, mapped string, slaves ...string) {
		t.Helper()
		errs := []error{os.MkdirAll(filepath.Join(sysfs, name, "dm"), 0o700)}
		for _, slave := range slaves {
			errs = append(errs, os.MkdirAll(filepath.Join(sysfs, name, "slaves", slave), 0o700))
		}
		if uuid != "" {
			errs = append(errs,
				os.WriteFile(filepath.Join(sysfs, name, "dm/uuid"), []byte(uuid+"\n"), 0o600),
				os.WriteFile(filepath.Join(sysfs, name, "dm/name"), []byte(mapped+"\n"), 0o600))
		}
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
	}
	source := luks.Source{Sysfs: sysfs, Measured: measured(t, "newest")}
	t.Run("none", func(t *testing.T) {
		device("dm-9", "LVM-abc", "vg-root", "sda1")
		if _, err := source.Read(t.Context()); !errors.Is(err, luks.ErrAbsent) {
			t.Errorf("error: got %v, want ErrAbsent", err)
		}
	})
	t.Run("several", func(t *testing.T) {
		device("dm-0", "CRYPT-LUKS2-6c61622d-data", "data", "absent1")
		device("dm-1", "CRYPT-LUKS1-6c61622d-old", "old", "cciss!c0d0p2")
		device("dm-2", "CRYPT-PLAIN-swap", "swap", "absent2")
		device("dm-3", "CRYPT-LUKS2-6c61622d-auth", "auth", "dm-4")
		device("dm-4", "CRYPT-SUBDEV-6c61622d-auth_dif", "auth_dif", "dm-5")
		device("dm-5", "LVM-def", "vg-auth", "absent3")
		reading, err := source.Read(t.Context())
		if failure.Of(err) != failure.Unreachable {
			t.Errorf("error: got %v, want one for devices that aren't there", err)
		}
		want := []luks.Device{
			{Path: "/dev/absent1", Format: luks.LUKS2},
			{Path: "/dev/cciss/c0d0p2", Format: luks.LUKS1},
			{Path: "/dev/mapper/swap", Format: luks.Plain},
			{Path: "/dev/mapper/vg-auth", Format: luks.LUKS2},
		}
		if !reflect.DeepEqual(reading.Devices, want) {
			t.Errorf("devices:\n got %+v\nwant %+v", reading.Devices, want)
		}
	})
	t.Run("lies on nothing", func(t *testing.T) {
		device("dm-6", "CRYPT-LUKS2-6c61622d-odd", "odd")
		if _, err := source.Read(t.Context()); err == nil {
			t.Error("error: got none, want one for the device without a lower one")
		}
	})
}
