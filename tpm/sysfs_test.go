package tpm

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"funlab.casa/attestation_exporter/failure"
)

const sysfsFixture = "../testdata/tpm/sysfs"

// sysfsSource is a Source whose device can't be opened for the given reason, with
// the recorded boot in sysfs.
func sysfsSource(t *testing.T, folder string, unopened error, want Selection) *Source {
	t.Helper()
	bootID := filepath.Join(t.TempDir(), "boot_id")
	if err := os.WriteFile(bootID, []byte("0b1e7a52-6d5c-4f0e-9c0f-3a1f6a4b2c9d\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return &Source{
		Device: "/dev/tpmrm0", Sysfs: folder, BootID: bootID, Selection: want,
		open: func(_ context.Context, path string) (io.ReadWriteCloser, error) {
			return nil, &fs.PathError{Op: "open", Path: path, Err: unopened}
		},
	}
}

// TestSysfsRecorded holds the recorded sysfs files against what tpm2_pcrread said
// in the same boot.
func TestSysfsRecorded(t *testing.T) {
	content, err := os.ReadFile("../testdata/boot/newest/pcrread.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var want map[string]map[int]string
	if err := yaml.Unmarshal(hexAsText(content), &want); err != nil {
		t.Fatal(err)
	}
	all := Select(pcrSet(t, "0-23"), SHA1, SHA256)
	reading, err := sysfsSource(t, sysfsFixture, fs.ErrPermission, all).Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]map[int]string{"sha1": {}, "sha256": {}}
	for _, pcr := range reading.PCRs {
		got[pcr.Bank.String()][pcr.Index] = "0x" + strings.ToUpper(pcr.Digest.String())
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if reading.Source != FromSysfs || reading.Boot != "0b1e7a52-6d5c-4f0e-9c0f-3a1f6a4b2c9d" || reading.Commands != 48 {
		t.Errorf("got source %q, boot %q, %d commands", reading.Source, reading.Boot, reading.Commands)
	}
}

// hexAsText puts quotes around the digests, which YAML would take for numbers.
func hexAsText(content []byte) []byte {
	var text bytes.Buffer
	for line := range strings.Lines(string(content)) {
		key, value, _ := strings.Cut(line, ": 0x")
		if value == "" {
			text.WriteString(line)
			continue
		}
		text.WriteString(key + ": " + strconv.Quote("0x"+strings.TrimSpace(value)) + "\n")
	}
	return text.Bytes()
}

func TestSysfs(t *testing.T) {
	empty := t.TempDir()
	broken := t.TempDir()
	old := t.TempDir()
	for path, content := range map[string]string{
		filepath.Join(broken, "tpm_version_major"): "2\n",
		filepath.Join(broken, "pcr-sha256/0"):      strings.Repeat("00", 32) + "\n",
		filepath.Join(broken, "pcr-sha256/1"):      "00\n",
		filepath.Join(broken, "pcr-sha256/2"):      strings.Repeat("00", 4096),
		filepath.Join(broken, "pcr-sha256/3"):      "",
		filepath.Join(old, "tpm_version_major"):    "1\n",
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		name     string
		folder   string
		unopened error
		want     Selection
		pcrs     []string
		absent   bool
		reason   failure.Reason // empty: no error
	}{
		{name: "permission denied", folder: sysfsFixture, unopened: fs.ErrPermission,
			want: Select(NewPCRSet(0, 7), SHA256), pcrs: []string{"sha256:0", "sha256:7"}},
		{name: "no device node", folder: sysfsFixture, unopened: fs.ErrNotExist,
			want: Select(NewPCRSet(0), SHA1, SHA256), pcrs: []string{"sha1:0", "sha256:0"}},
		{name: "bank not allocated", folder: sysfsFixture, unopened: fs.ErrPermission,
			want: Select(NewPCRSet(0), SHA256, SHA384), pcrs: []string{"sha256:0"}, reason: failure.Unreachable},
		{name: "malformed files", folder: broken, unopened: fs.ErrPermission,
			want: Select(pcrSet(t, "0-3"), SHA256), pcrs: []string{"sha256:0"}, reason: failure.Malformed},
		{name: "file gone", folder: broken, unopened: fs.ErrPermission,
			want: Select(NewPCRSet(0, 9), SHA256), pcrs: []string{"sha256:0"}, reason: failure.Unreachable},
		{name: "no chip", folder: filepath.Join(empty, "none"), unopened: fs.ErrNotExist, absent: true},
		{name: "no sysfs wanted", folder: "", unopened: fs.ErrNotExist, absent: true},
		{name: "chip of version 1", folder: old, unopened: fs.ErrNotExist, absent: true},
		{name: "permission denied, no sysfs", folder: filepath.Join(empty, "none"), unopened: fs.ErrPermission, reason: failure.Permission},
		{name: "permission denied, kernel without PCR files", folder: empty, unopened: fs.ErrPermission, reason: failure.Permission},
	} {
		t.Run(test.name, func(t *testing.T) {
			reading, err := sysfsSource(t, test.folder, test.unopened, test.want).Read(t.Context())
			if got := places(reading.PCRs); !reflect.DeepEqual(got, test.pcrs) {
				t.Errorf("got %v, want %v", got, test.pcrs)
			}
			if got := errors.Is(err, ErrAbsent); got != test.absent {
				t.Fatalf("got %v, want absent %v", err, test.absent)
			}
			if !test.absent {
				checkReason(t, err, test.reason)
			}
		})
	}
}

// TestGivenDevice: another chip's PCRs must not stand in for a device that the
// user named.
func TestGivenDevice(t *testing.T) {
	for _, test := range []struct {
		unopened error
		want     failure.Reason
	}{
		{fs.ErrNotExist, failure.Unreachable},
		{fs.ErrPermission, failure.Permission},
	} {
		source := sysfsSource(t, sysfsFixture, test.unopened, Select(NewPCRSet(0), SHA256))
		source.DeviceGiven = true
		reading, err := source.Read(t.Context())
		if errors.Is(err, ErrAbsent) || reading.Source != "" {
			t.Errorf("%v: got %+v, %v, want a failure alone", test.unopened, reading, err)
		}
		checkReason(t, err, test.want)
	}
}

func TestSysfsTooLate(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	reading, err := sysfsSource(t, sysfsFixture, fs.ErrPermission, Select(NewPCRSet(0), SHA256)).Read(ctx)
	if len(reading.PCRs) != 0 {
		t.Errorf("got %v, want no PCRs", places(reading.PCRs))
	}
	checkReason(t, err, failure.Timeout)
}

func FuzzParseSysfsPCR(f *testing.F) {
	for _, path := range []string{"pcr-sha256/0", "pcr-sha1/7", "tpm_version_major"} {
		content, err := os.ReadFile(filepath.Join(sysfsFixture, path))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint16(SHA256), content)
	}
	f.Fuzz(func(t *testing.T, bank uint16, content []byte) {
		digest, err := parseSysfsPCR(Bank(bank), content)
		if err == nil && !Bank(bank).fits(len(digest)) {
			t.Errorf("got %d bytes for %v", len(digest), Bank(bank))
		}
	})
}
