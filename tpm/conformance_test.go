//go:build conformance

package tpm

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestConformance runs as root on a host with a TPM of its kernel's, and compares
// with tpm2-tools, by way of the device and by way of sysfs.
func TestConformance(t *testing.T) {
	want := toolDigests(tool(t, "tpm2_pcrread", "sha1:all+sha256:all"))
	all := Select(pcrSet(t, "0-23"), SHA1, SHA256)
	for _, test := range []struct {
		source string
		device string
	}{
		{FromDevice, DefaultDevice},
		{FromSysfs, filepath.Join(t.TempDir(), "absent")},
	} {
		t.Run(test.source, func(t *testing.T) {
			source := &Source{Device: test.device, Sysfs: DefaultSysfs, BootID: DefaultBootID, Selection: all}
			reading, err := source.Read(t.Context())
			if err != nil || reading.Source != test.source {
				t.Fatalf("got source %q, %v", reading.Source, err)
			}
			got := digestsByPlace(reading.PCRs)
			// IMA extends PCR 10 whenever something new runs: that tool, for one.
			for _, bank := range all.Banks() {
				delete(got, fmt.Sprintf("%s:10", bank))
				delete(want, fmt.Sprintf("%s:10", bank))
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
			t.Logf("boot %s, %d commands, properties %+v, clock %+v, lockout %+v, self-test %s, EK certificates %+v",
				reading.Boot, reading.Commands, reading.Properties, reading.Clock, reading.Lockout, reading.SelfTest, reading.EKCertificates)

			source.Selection = Select(pcrSet(t, "0-7"), SHA256)
			times := make([]time.Duration, 100)
			for i := range times {
				begin := time.Now()
				if reading, err = source.Read(t.Context()); err != nil {
					t.Fatal(err)
				}
				times[i] = time.Since(begin)
			}
			slices.Sort(times)
			t.Logf("sha256:0-7: %d commands, median %v, p99 %v", reading.Commands, times[50], times[99])
			if wantCommands := map[string]int{FromDevice: 4, FromSysfs: 8}[test.source]; reading.Commands != wantCommands {
				t.Errorf("steady reading: got %d commands, want %d", reading.Commands, wantCommands)
			}
		})
	}
}

// TestConformanceRights runs this test program again as nobody, who may not open
// the device.
func TestConformanceRights(t *testing.T) {
	if os.Getuid() != 0 {
		reading, err := (&Source{
			Device: DefaultDevice, Sysfs: DefaultSysfs, BootID: DefaultBootID, Selection: Select(NewPCRSet(0, 7), SHA256),
		}).Read(t.Context())
		if err != nil || reading.Source != FromSysfs || len(reading.PCRs) != 2 {
			t.Errorf("got %+v, %v, want two PCRs from sysfs", reading, err)
		}
		_, err = (&Source{Device: DefaultDevice, DeviceGiven: true, Sysfs: DefaultSysfs}).Read(t.Context())
		checkReason(t, err, "permission")
		return
	}
	// /proc/self/exe may lie where nobody can't go; a copy in /tmp doesn't.
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(os.TempDir(), "tpm-conformance.test")
	if err := os.WriteFile(program, content, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(program) })
	command := exec.CommandContext(t.Context(), program, "-test.run=^TestConformanceRights$", "-test.v")
	command.Dir = os.TempDir()
	command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if output, err := command.CombinedOutput(); err != nil {
		t.Errorf("as nobody: %v\n%s", err, output)
	}
}

// TestConformanceOccupied opens /dev/tpm0, which then refuses us, while the
// resource manager's device goes on.
func TestConformanceOccupied(t *testing.T) {
	other, err := openDevice(t.Context(), "/dev/tpm0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err = (&Source{Device: "/dev/tpm0", DeviceGiven: true}).Read(ctx)
	checkReason(t, err, "timeout")
	if err == nil || !strings.Contains(err.Error(), "busy") {
		t.Errorf("got %v, want a busy device", err)
	}
	if _, err := (&Source{Device: DefaultDevice, DeviceGiven: true, Selection: Select(NewPCRSet(0), SHA256)}).Read(t.Context()); err != nil {
		t.Errorf("%s: %v", DefaultDevice, err)
	}
}

func tool(t *testing.T, arguments ...string) string {
	t.Helper()
	output, err := exec.CommandContext(t.Context(), arguments[0], arguments[1:]...).Output()
	if err != nil {
		t.Fatalf("%v: %v", arguments, err)
	}
	return string(output)
}
