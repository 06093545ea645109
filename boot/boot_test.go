package boot_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"funlab.casa/attestation_exporter/boot"
	"funlab.casa/attestation_exporter/failure"
	"funlab.casa/attestation_exporter/ima"
	"funlab.casa/attestation_exporter/internal/tower/firmware"
	"funlab.casa/attestation_exporter/internal/tower/recorded"
	"funlab.casa/attestation_exporter/tpm"
)

const (
	espPartition = "6c61622d-0000-4000-8000-657370000002"
	rootUUID     = "6c61622d-0000-4000-8000-726f6f740001"

	shimPath = "/boot/efi/EFI/debian/shimx64.efi"
	grubPath = "/boot/efi/EFI/debian/grubx64.efi"
	oldPath  = "/boot/vmlinuz-6.1.0-55-amd64"
	newPath  = "/boot/vmlinuz-6.1.0-56-amd64"
	logPath  = "/log"
	dbxPath  = "/sys/firmware/efi/efivars/dbx-" + firmware.Firmware
)

// menu is a grub.cfg as grub-mkconfig writes it, with what decides.
func menu(kernels ...string) []byte {
	var text strings.Builder
	text.WriteString(`
if [ -s $prefix/grubenv ]; then
  set have_grubenv=true
  load_env
fi
if [ "${next_entry}" ] ; then
   set default="${next_entry}"
   set next_entry=
   save_env next_entry
else
   set default="${saved_entry}"
fi
if [ x"${feature_menuentry_id}" = xy ]; then
  menuentry_id_option="--id"
fi
function gfxmode {
	set gfxpayload="${1}"
}
`)
	for _, kernel := range kernels {
		text.WriteString(`menuentry 'Debian GNU/Linux, with ` + kernel + `' --class gnu-linux $menuentry_id_option '` + kernel + `' {
	gfxmode $linux_gfx_mode
	search --no-floppy --fs-uuid --set=root ` + rootUUID + `
	echo	'Loading Linux ...'
	linux	/boot/vmlinuz-` + kernel + ` root=UUID=x ro quiet
	initrd	/boot/initrd.img-` + kernel + `
}
`)
	}
	return []byte(text.String())
}

// A machine is a host that has been booted through shim, GRUB and a kernel.
type machine struct {
	t *testing.T
	firmware.Host
	log  firmware.Log
	chip tpm.Values
}

// debian installs a host and boots it: measured is what its firmware measured as
// applications.
func debian(t *testing.T) *machine {
	t.Helper()
	m := &machine{t: t, Host: firmware.Host{Root: t.TempDir()}, log: firmware.Log{Banks: []tpm.Bank{tpm.SHA1, tpm.SHA256}}}
	m.must(
		m.Write("/proc/self/mountinfo", []byte("30 1 259:2 / / rw shared:1 - ext4 /dev/root rw\n31 30 259:1 / /boot/efi rw shared:2 - vfat /dev/nvme0n1p1 rw\n")),
		m.Link("/sys/dev/block/259:2", "../../devices/pci0/nvme0n1p2"),
		m.Link("/sys/dev/block/259:1", "../../devices/pci0/nvme0n1p1"),
		m.Link("/dev/disk/by-partuuid/"+espPartition, "../../nvme0n1p1"),
		m.Link("/dev/disk/by-uuid/"+rootUUID, "../../nvme0n1p2"),
		m.Write("/proc/cmdline", []byte("BOOT_IMAGE=/boot/vmlinuz-6.1.0-56-amd64 root=UUID=x ro quiet\n")),
		m.Variable("BootOrder", firmware.Firmware, []byte{3, 0, 1, 0}),
		m.Variable("Boot0003", firmware.Firmware, firmware.LoadOption("debian", espPartition, "/EFI/debian/shimx64.efi", "")),
		m.Variable("Boot0001", firmware.Firmware, firmware.NetworkOption("PXE")),
		m.Variable("SecureBoot", firmware.Firmware, []byte{1}),
		m.Variable("dbx", firmware.Firmware, []byte("revoked")),
		m.Write(shimPath, firmware.Image(firmware.Shim("shim 15.8"), "signed")),
		m.Write(grubPath, firmware.Image(firmware.GRUB("grub 2.06"), "signed")),
		m.Write("/boot/efi/EFI/debian/grub.cfg", []byte("search.fs_uuid "+rootUUID+" root hd0,gpt2\nset prefix=($root)'/boot/grub'\nconfigfile $prefix/grub.cfg\n")),
		m.Write("/boot/grub/grub.cfg", menu("6.1.0-56-amd64", "6.1.0-55-amd64")),
		m.Write("/boot/grub/grubenv", []byte("# GRUB Environment Block\nsaved_entry=6.1.0-56-amd64\n####")),
		m.Write(newPath, firmware.Image(firmware.Kernel("linux 56"), "signed")),
		m.Write(oldPath, firmware.Image(firmware.Kernel("linux 55"), "signed")),
	)
	m.boot(shimPath, grubPath, newPath, newPath)
	return m
}

func (m *machine) must(errs ...error) {
	m.t.Helper()
	if err := errors.Join(errs...); err != nil {
		m.t.Fatal(err)
	}
}

// boot measures what a firmware with Secure Boot measures.
func (m *machine) boot(applications ...string) {
	m.t.Helper()
	m.log.Events = nil
	m.log.Variable("SecureBoot", []byte{1})
	m.log.Variable("dbx", []byte("revoked"))
	m.log.Separators()
	for _, path := range applications {
		image, err := os.ReadFile(filepath.Join(m.Root, path))
		m.must(err)
		m.log.Application(image)
	}
	m.chip = m.log.Values()
	m.must(m.Write(logPath, m.log.Bytes()))
}

func (m *machine) source() *boot.Source {
	return &boot.Source{
		Root: m.Root, EventLog: logPath, Banks: []tpm.Bank{tpm.SHA256},
		PCRs: func(context.Context, tpm.Selection) (tpm.Values, error) { return m.chip, nil },
	}
}

func (m *machine) read() boot.Reading {
	m.t.Helper()
	reading, err := m.source().Read(m.t.Context())
	if err != nil {
		m.t.Fatal(err)
	}
	return reading
}

// mismatches names what the next boot will measure anew.
func mismatches(reading boot.Reading) []string {
	var paths []string
	for _, file := range reading.Files {
		if !file.Matches {
			paths = append(paths, file.Path)
		}
	}
	return paths
}

func TestReadHealthy(t *testing.T) {
	got := debian(t).read()
	forecast := true
	want := boot.Reading{
		Log:        &boot.Log{Events: 2 + 9 + 4},
		SecureBoot: &boot.SecureBoot{Source: boot.FromLog, Enabled: true},
		Files: []boot.File{
			{Path: shimPath, PCR: 4, Matches: true},
			{Path: grubPath, PCR: 4, Matches: true},
			{Path: newPath, PCR: 4, Matches: true},
			{Path: "/sys/firmware/efi/efivars/SecureBoot-" + firmware.Firmware, PCR: 7, Matches: true},
			{Path: dbxPath, PCR: 7, Matches: true},
		},
		Forecast: &forecast,
	}
	for pcr := range 8 {
		want.Log.Matches = append(want.Log.Matches, tpm.LogMatch{Bank: tpm.SHA256, PCR: pcr, Matches: true})
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("reading:\n got %+v\nwant %+v", got, want)
	}
}

func TestForecast(t *testing.T) {
	tests := []struct {
		name   string
		change func(m *machine)
		want   []string
	}{
		{"nothing changed", func(*machine) {}, nil},
		{"signed anew", func(m *machine) {
			m.must(m.Write(newPath, firmware.Image(firmware.Kernel("linux 56"), "another signature")))
		}, nil},
		{"kernel update adds a file", func(m *machine) {
			m.must(
				m.Write("/boot/vmlinuz-6.1.0-57-amd64", firmware.Image(firmware.Kernel("linux 57"), "signed")),
				m.Write("/boot/grub/grub.cfg", menu("6.1.0-57-amd64", "6.1.0-56-amd64")),
				m.Write("/boot/grub/grubenv", nil))
		}, []string{"/boot/vmlinuz-6.1.0-57-amd64"}},
		{"another default", func(m *machine) {
			m.must(m.Write("/boot/grub/grubenv", []byte("saved_entry=6.1.0-55-amd64\n")))
		}, []string{oldPath}},
		{"another entry for once", func(m *machine) {
			m.must(m.Write("/boot/grub/grubenv", []byte("saved_entry=6.1.0-56-amd64\nnext_entry=1\n")))
		}, []string{oldPath}},
		{"shim replaced", func(m *machine) {
			m.must(m.Write(shimPath, firmware.Image(firmware.Shim("shim 15.9"), "signed")))
		}, []string{shimPath}},
		{"GRUB replaced", func(m *machine) {
			m.must(m.Write(grubPath, firmware.Image(firmware.GRUB("grub 2.12"), "signed")))
		}, []string{grubPath}},
		{"dbx update", func(m *machine) {
			m.must(m.Variable("dbx", firmware.Firmware, []byte("revoked, and more")))
		}, []string{dbxPath}},
		{"variable deleted", func(m *machine) {
			m.must(m.Remove(dbxPath))
		}, []string{dbxPath}},
		{"another boot entry for once", func(m *machine) {
			m.must(
				m.Variable("BootNext", firmware.Firmware, []byte{9, 0}),
				m.Variable("Boot0009", firmware.Firmware, firmware.LoadOption("kernel", espPartition, "/vmlinuz.efi", "")),
				m.Write("/boot/efi/vmlinuz.efi", firmware.Image(firmware.Kernel("linux 58"), "")))
		}, []string{"/boot/efi/vmlinuz.efi"}},
		{"entry whose file is gone is passed over", func(m *machine) {
			m.must(
				m.Variable("BootOrder", firmware.Firmware, []byte{9, 0, 3, 0}),
				m.Variable("Boot0009", firmware.Firmware, firmware.LoadOption("gone", espPartition, "/EFI/gone.efi", "")))
		}, nil},
		{"shim told what to start", func(m *machine) {
			m.must(
				m.Variable("Boot0003", firmware.Firmware, firmware.LoadOption("debian", espPartition, "/EFI/debian/shimx64.efi", `\other.efi`)),
				m.Write("/boot/efi/other.efi", firmware.Image(firmware.Kernel("other"), "")))
		}, []string{"/boot/efi/other.efi"}},
		{"removable-media path", func(m *machine) {
			m.must(
				m.Variable("Boot0003", firmware.Firmware, firmware.DiskOption("disk")),
				m.Write("/boot/efi/EFI/BOOT/BOOTX64.EFI", firmware.Image(firmware.Shim("shim 15.8"), "signed")),
				m.Write("/boot/efi/EFI/BOOT/grubx64.efi", firmware.Image(firmware.GRUB("grub 2.06"), "signed")))
		}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := debian(t)
			tt.change(m)
			reading := m.read()
			if got := mismatches(reading); !slices.Equal(got, tt.want) {
				t.Errorf("files that don't match: got %v, want %v", got, tt.want)
			}
			if reading.Forecast == nil || !*reading.Forecast {
				t.Error("forecast: got none, want one")
			}
		})
	}
}

func TestNoForecast(t *testing.T) {
	tests := []struct {
		name   string
		change func(m *machine)
	}{
		{"boot partition not mounted", func(m *machine) {
			m.must(m.Write("/proc/self/mountinfo", []byte("30 1 259:2 / / rw shared:1 - ext4 /dev/root rw\n")))
		}},
		{"no boot order", func(m *machine) { m.must(m.Remove("/sys/firmware/efi/efivars/BootOrder-" + firmware.Firmware)) }},
		{"boot entry cut short", func(m *machine) { m.must(m.Variable("Boot0003", firmware.Firmware, []byte{1, 0, 0, 0, 9})) }},
		{"network first", func(m *machine) { m.must(m.Variable("BootOrder", firmware.Firmware, []byte{1, 0, 3, 0})) }},
		{"fallback decides", func(m *machine) {
			m.must(
				m.Variable("Boot0003", firmware.Firmware, firmware.DiskOption("disk")),
				m.Write("/boot/efi/EFI/BOOT/BOOTX64.EFI", firmware.Image(firmware.Shim("shim 15.8"), "signed")),
				m.Write("/boot/efi/EFI/BOOT/fbx64.efi", firmware.Image(firmware.Shim("fallback"), "signed")))
		}},
		{"shim isn't an application", func(m *machine) { m.must(m.Write(shimPath, []byte("MZ and nothing"))) }},
		{"GRUB's configuration is cut short", func(m *machine) { m.must(m.Write("/boot/grub/grub.cfg", []byte("if [ x = x ]; then"))) }},
		{"kernel is gone", func(m *machine) { m.must(m.Remove(newPath)) }},
		{"file system that isn't there", func(m *machine) { m.must(m.Remove("/dev/disk/by-uuid/" + rootUUID)) }},
		{"log doesn't give PCR 4", func(m *machine) {
			m.chip[tpm.SHA256][4], _ = tpm.SHA256.Extend(m.chip[tpm.SHA256][4], make(tpm.Digest, 32))
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := debian(t)
			tt.change(m)
			reading := m.read()
			if reading.Forecast == nil || *reading.Forecast {
				t.Error("forecast: got one, want none")
			}
			for _, file := range reading.Files {
				if file.PCR == 4 {
					t.Errorf("got a verdict on %s, want none", file.Path)
				}
			}
		})
	}
}

// TestWithoutLog is a host on which nobody hands the log on, so that PCR 4 must
// tell what was measured.
func TestWithoutLog(t *testing.T) {
	next := "/boot/vmlinuz-6.1.0-57-amd64"
	update := func(m *machine) {
		m.must(
			m.Write(next, firmware.Image(firmware.Kernel("linux 57"), "signed")),
			m.Write("/boot/grub/grubenv", nil),
			m.Write("/boot/grub/grub.cfg", menu("6.1.0-57-amd64", "6.1.0-56-amd64")))
	}
	tests := []struct {
		name     string
		measured []string
		change   func(m *machine)
		forecast bool
		files    []boot.File
	}{
		{"kernel not measured", []string{shimPath, grubPath}, func(*machine) {}, true,
			[]boot.File{{shimPath, 4, true}, {grubPath, 4, true}}},
		{"kernel not measured, and updated", []string{shimPath, grubPath}, update, true,
			[]boot.File{{shimPath, 4, true}, {grubPath, 4, true}}},
		{"kernel measured twice", []string{shimPath, grubPath, newPath, newPath}, func(*machine) {}, true,
			[]boot.File{{shimPath, 4, true}, {grubPath, 4, true}, {newPath, 4, true}}},
		{"kernel measured once, and updated", []string{shimPath, grubPath, newPath}, update, true,
			[]boot.File{{shimPath, 4, true}, {grubPath, 4, true}, {next, 4, false}}},
		{"loader replaced: nobody can say which", []string{shimPath, grubPath}, func(m *machine) {
			m.must(m.Write(grubPath, firmware.Image(firmware.GRUB("grub 2.12"), "signed")))
		}, false, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := debian(t)
			m.boot(tt.measured...)
			m.must(m.Remove(logPath))
			tt.change(m)
			reading := m.read()
			if got := *reading.Forecast; got != tt.forecast {
				t.Errorf("forecast: got %t, want %t", got, tt.forecast)
			}
			if !slices.Equal(reading.Files, tt.files) {
				t.Errorf("files:\n got %+v\nwant %+v", reading.Files, tt.files)
			}
			if reading.Log != nil || *reading.SecureBoot != (boot.SecureBoot{Source: boot.FromVariable, Enabled: true}) {
				t.Errorf("got log %v, Secure Boot %+v, want no log, and the variable's word", reading.Log, reading.SecureBoot)
			}
		})
	}
}

// TestUnmeasuredKernel has a log, but a loader that starts Linux without a
// measurement.
func TestUnmeasuredKernel(t *testing.T) {
	m := debian(t)
	m.boot(shimPath, grubPath)
	m.must(m.Write("/boot/grub/grubenv", []byte("saved_entry=6.1.0-55-amd64\n")))
	for _, file := range m.read().Files {
		if !file.Matches || file.Path == oldPath {
			t.Errorf("got %+v, want matching loaders alone", file)
		}
	}
}

func TestReadPartly(t *testing.T) {
	t.Run("nothing here", func(t *testing.T) {
		source := boot.Source{Root: t.TempDir(), EventLog: logPath, IMA: &ima.Source{Directory: t.TempDir()}}
		if _, err := source.Read(t.Context()); !errors.Is(err, boot.ErrAbsent) {
			t.Errorf("error: got %v, want ErrAbsent", err)
		}
	})
	t.Run("log that was asked for is missing", func(t *testing.T) {
		source := boot.Source{Root: t.TempDir(), EventLog: logPath, EventLogGiven: true}
		if _, err := source.Read(t.Context()); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("error: got %v, want one for the missing file", err)
		}
	})
	t.Run("log cut short", func(t *testing.T) {
		m := debian(t)
		m.must(m.Write(logPath, m.log.Bytes()[:900]))
		reading, err := m.source().Read(t.Context())
		if failure.Of(err) != failure.Malformed || reading.Log != nil {
			t.Errorf("got log %v, error %v, want none, and a malformed log", reading.Log, err)
		}
		if reading.SecureBoot == nil || reading.SecureBoot.Source != boot.FromVariable || reading.Forecast == nil {
			t.Errorf("got %+v, want what else can be read", reading)
		}
	})
	t.Run("TPM silent", func(t *testing.T) {
		silent := failure.Errorf(failure.Unreachable, "no answer")
		m := debian(t)
		source := m.source()
		source.PCRs = func(context.Context, tpm.Selection) (tpm.Values, error) { return nil, silent }
		reading, err := source.Read(t.Context())
		if !errors.Is(err, silent) || reading.Log == nil || reading.Log.Matches != nil {
			t.Errorf("got log %+v, error %v, want one without a verdict", reading.Log, err)
		}
		if len(mismatches(reading)) != 0 || !*reading.Forecast {
			t.Errorf("got %+v, want a forecast from the log alone", reading)
		}
	})
	t.Run("IMA", func(t *testing.T) {
		m := debian(t)
		source := m.source()
		source.IMA = &ima.Source{Directory: "../testdata/ima"}
		reading, err := source.Read(t.Context())
		if err != nil || reading.IMA == nil || reading.IMA.Measurements != 376 {
			t.Errorf("got %+v, error %v, want 376 measurements", reading.IMA, err)
		}
	})
}

func TestFilesGiven(t *testing.T) {
	m := debian(t)
	source := m.source()
	source.Files = []string{"/boot/efi/EFI/debian/*.efi", newPath}
	m.must(m.Write(grubPath, firmware.Image(firmware.GRUB("grub 2.12"), "signed")))
	reading, err := source.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []boot.File{{grubPath, 4, false}, {shimPath, 4, true}, {newPath, 4, true}}
	if !slices.Equal(reading.Files, want) || !*reading.Forecast {
		t.Errorf("files: got %+v, want %+v", reading.Files, want)
	}
	source.Files = []string{"/boot/nothing*"}
	if reading, err = source.Read(t.Context()); err != nil || *reading.Forecast {
		t.Errorf("pattern without a file: got forecast %t, error %v, want none", *reading.Forecast, err)
	}
}

// TestDigestsRemembered replaces a kernel by one of the same size, within one
// source's life.
func TestDigestsRemembered(t *testing.T) {
	m := debian(t)
	source := m.source()
	for _, build := range []string{"linux 56", "linux XX", "linux 56"} {
		m.must(m.Write(newPath, firmware.Image(firmware.Kernel(build), "signed")))
		reading, err := source.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got, want := len(mismatches(reading)) == 0, build == "linux 56"; got != want {
			t.Errorf("%s: got match %t, want %t", build, got, want)
		}
	}
}

// TestLogRemembered puts another log of the same size and time in the place of the first,
// within one source's life.
func TestLogRemembered(t *testing.T) {
	m := debian(t)
	source := m.source()
	raw := m.log.Bytes()
	separator := sha256.Sum256(make([]byte, 4))
	other := bytes.Replace(raw, separator[:], make([]byte, sha256.Size), 1)
	when := time.Now().Add(-time.Hour)
	for _, log := range [][]byte{raw, raw, other, raw[:len(raw)-1], raw} {
		m.must(m.Write(logPath, log), os.Chtimes(filepath.Join(m.Root, logPath), when, when))
		reading, err := source.Read(t.Context())
		if cut := len(log) < len(raw); cut != (failure.Of(err) == failure.Malformed) || cut != (reading.Log == nil) {
			t.Fatalf("got log %v, error %v, want none and malformed: %t", reading.Log, err, cut)
		}
		if reading.Log == nil {
			continue
		}
		spoilt := slices.ContainsFunc(reading.Log.Matches, func(m tpm.LogMatch) bool { return !m.Matches })
		if want := bytes.Equal(log, other); spoilt != want {
			t.Errorf("got %v, want a PCR that doesn't match: %t", reading.Log.Matches, want)
		}
	}
}

func TestMeasured(t *testing.T) {
	selection := tpm.Select(tpm.NewPCRSet(0, 4, 7), tpm.SHA256)
	t.Run("log decides", func(t *testing.T) {
		m := debian(t)
		logged := m.chip[tpm.SHA256][7]
		m.chip = tpm.Values{}.Overlay(m.chip)
		m.chip[tpm.SHA256][7] = make(tpm.Digest, 32)
		got, err := m.source().Measured(t.Context(), selection)
		if err != nil || !slices.Equal(got.Boot[tpm.SHA256][7], logged) || slices.Equal(got.Chip[tpm.SHA256][7], logged) {
			t.Errorf("got %v, error %v, want PCR 7 from the log", got, err)
		}
	})
	t.Run("chip where there is no log", func(t *testing.T) {
		m := debian(t)
		m.must(m.Remove(logPath))
		got, err := m.source().Measured(t.Context(), selection)
		if err != nil || !reflect.DeepEqual(got.Boot, m.chip.Pick(selection)) {
			t.Errorf("got %v, error %v, want the chip's values", got, err)
		}
	})
	t.Run("log suffices where the chip is silent", func(t *testing.T) {
		m := debian(t)
		source := m.source()
		source.PCRs = func(context.Context, tpm.Selection) (tpm.Values, error) { return nil, fs.ErrPermission }
		if got, err := source.Measured(t.Context(), selection); err != nil || !got.Boot.Cover(selection) {
			t.Errorf("got %v, error %v, want the log's values", got, err)
		}
		if _, err := source.Measured(t.Context(), tpm.Select(tpm.NewPCRSet(17), tpm.SHA256)); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("PCR that no log has: got error %v, want the chip's", err)
		}
	})
	t.Run("bank that the chip hasn't got", func(t *testing.T) {
		if _, err := debian(t).source().Measured(t.Context(), tpm.Select(tpm.NewPCRSet(0), tpm.SHA384)); failure.Of(err) != failure.Unreachable {
			t.Errorf("error: got %v, want one for the missing bank", err)
		}
	})
}

// TestRecordedLogs reads the logs of real boots, without their files.
func TestRecordedLogs(t *testing.T) {
	tests := []struct {
		boot       string
		events     int
		secureBoot bool
	}{
		{"newest", 58, true},
		{"other", 59, true},
		{"secure-boot-off-linuxefi", 53, false},
	}
	for _, tt := range tests {
		t.Run(tt.boot, func(t *testing.T) {
			directory, err := filepath.Abs("../testdata/boot/" + tt.boot)
			if err != nil {
				t.Fatal(err)
			}
			source := boot.Source{
				Root: directory, EventLog: "/binary_bios_measurements", Banks: []tpm.Bank{tpm.SHA256},
				PCRs: func(context.Context, tpm.Selection) (tpm.Values, error) {
					return recorded.PCRs(t, filepath.Join(directory, "pcrread.yaml")), nil
				},
			}
			reading, err := source.Read(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got := reading.Log.Events; got != tt.events {
				t.Errorf("events: got %d, want %d", got, tt.events)
			}
			if got, want := *reading.SecureBoot, (boot.SecureBoot{Source: boot.FromLog, Enabled: tt.secureBoot}); got != want {
				t.Errorf("Secure Boot: got %+v, want %+v", got, want)
			}
			if len(reading.Log.Matches) != 8 || slices.ContainsFunc(reading.Log.Matches, func(m tpm.LogMatch) bool { return !m.Matches }) {
				t.Errorf("matches: got %+v, want all of PCR 0 to 7", reading.Log.Matches)
			}
			for _, file := range reading.Files {
				// No variable is in the folder, so that what was measured as
				// something has changed, and what was measured as nothing has not.
				empty := !tt.secureBoot && !strings.Contains(file.Path, "SecureBoot-")
				if file.Matches != empty {
					t.Errorf("%s: got match %t, want %t", file.Path, file.Matches, empty)
				}
			}
		})
	}
}

// systemdBoot makes the host one that boots by systemd-boot, with its entries on
// the ESP and on a partition of their own.
func systemdBoot(t *testing.T) *machine {
	t.Helper()
	m := debian(t)
	m.must(
		m.Write("/proc/self/mountinfo", []byte("30 1 259:2 / / rw - ext4 /dev/root rw\n31 30 259:1 / /boot/efi rw - vfat /dev/nvme0n1p1 rw\n32 30 259:3 / /boot rw - vfat /dev/nvme0n1p3 rw\n")),
		m.Variable("Boot0003", firmware.Firmware, firmware.LoadOption("Linux Boot Manager", espPartition, "/EFI/systemd/systemd-bootx64.efi", "")),
		m.Write("/boot/efi/EFI/systemd/systemd-bootx64.efi", firmware.Image(firmware.SystemdBoot("252"), "")),
		m.Write("/boot/loader/entries/debian-55.conf", []byte("title Debian\nsort-key debian\nversion 6.1.0-55\nlinux /vmlinuz-6.1.0-55-amd64\n")),
		m.Write("/boot/loader/entries/debian-56.conf", []byte("title Debian\nsort-key debian\nversion 6.1.0-56\nlinux /vmlinuz-6.1.0-56-amd64\n")),
		m.Write("/boot/efi/EFI/Linux/debian-57.efi", firmware.Image(firmware.UnifiedKernel("57", "ID=debian\nVERSION_ID=\"6.1.0-54\"\n"), "")),
	)
	m.boot("/boot/efi/EFI/systemd/systemd-bootx64.efi", newPath)
	return m
}

func TestForecastSystemdBoot(t *testing.T) {
	tests := []struct {
		name   string
		change func(m *machine)
		want   []string
	}{
		{"newest entry", func(*machine) {}, nil},
		{"default of loader.conf", func(m *machine) {
			m.must(m.Write("/boot/efi/loader/loader.conf", []byte("timeout 3\ndefault debian-55*\n")))
		}, []string{oldPath}},
		{"last booted", func(m *machine) {
			m.must(
				m.Write("/boot/efi/loader/loader.conf", []byte("default @saved\n")),
				m.Variable("LoaderEntryLastBooted", firmware.Loader, firmware.UTF16("debian-55.conf")))
		}, []string{oldPath}},
		{"default in a variable", func(m *machine) {
			m.must(
				m.Write("/boot/efi/loader/loader.conf", []byte("default debian-55*\n")),
				m.Variable("LoaderEntryDefault", firmware.Loader, firmware.UTF16("debian-56.conf")))
		}, nil},
		{"unified kernel image for once", func(m *machine) {
			m.must(m.Variable("LoaderEntryOneShot", firmware.Loader, firmware.UTF16("debian-57.efi")))
		}, []string{"/boot/efi/EFI/Linux/debian-57.efi"}},
		{"newer unified kernel image", func(m *machine) {
			m.must(m.Write("/boot/efi/EFI/Linux/debian-57.efi",
				firmware.Image(firmware.UnifiedKernel("57", "ID=debian\nVERSION_ID=\"6.1.0-57\"\n"), "")))
		}, []string{"/boot/efi/EFI/Linux/debian-57.efi"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := systemdBoot(t)
			tt.change(m)
			reading := m.read()
			if got := mismatches(reading); !slices.Equal(got, tt.want) || !*reading.Forecast {
				t.Errorf("files that don't match: got %v, forecast %t, want %v", got, *reading.Forecast, tt.want)
			}
		})
	}
}

// TestForecastWithSeparateBoot is GRUB with /boot on a file system of its own, of
// which a subvolume is mounted.
func TestForecastWithSeparateBoot(t *testing.T) {
	m := debian(t)
	text := strings.ReplaceAll(string(menu("6.1.0-55-amd64", "6.1.0-56-amd64")), "/boot/vmlinuz", "/@boot/vmlinuz")
	m.must(
		m.Write("/proc/self/mountinfo", []byte("30 1 0:25 /@ / rw - btrfs /dev/mapper/root rw\n31 30 259:1 / /boot/efi rw - vfat /dev/nvme0n1p1 rw\n32 30 0:26 /@boot /boot rw - btrfs /dev/nvme0n1p2 rw\n")),
		m.Write("/boot/efi/EFI/debian/grub.cfg", []byte("search --fs-uuid --set=dev "+rootUUID+"\nset prefix=($dev)/@boot/grub\nexport $prefix\nconfigfile $prefix/grub.cfg\n")),
		m.Write("/boot/grub/grub.cfg", []byte(text)))
	reading := m.read()
	if got := mismatches(reading); got != nil || !*reading.Forecast {
		t.Errorf("files that don't match: got %v, forecast %t, want none", got, *reading.Forecast)
	}
}
