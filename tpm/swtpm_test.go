package tpm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"funlab.casa/attestation_exporter/failure"
	"funlab.casa/attestation_exporter/internal/tower/swtpm"
)

// relaySocket names the socket that this program, started by tpm2-tools as their
// way to a TPM, connects with its standard input and output.
const relaySocket = "ATTESTATION_TEST_RELAY"

func TestMain(m *testing.M) {
	if path := os.Getenv(relaySocket); path != "" {
		if err := relay(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func relay(path string) error {
	conn, err := (&net.Dialer{}).DialContext(context.Background(), "unix", path)
	if err != nil {
		return err
	}
	go func() {
		_, _ = io.Copy(conn, os.Stdin)
		_ = conn.Close()
	}()
	_, _ = io.Copy(os.Stdout, conn)
	return nil
}

// tpm2Tool runs one of tpm2-tools against a software TPM.
func tpm2Tool(t *testing.T, chip *swtpm.TPM, arguments ...string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), arguments[0], arguments[1:]...)
	command.Env = append(os.Environ(), "TPM2TOOLS_TCTI=cmd:"+self, relaySocket+"="+chip.Socket)
	output, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v (`make tools` installs tpm2-tools)\n%s", arguments, err, output)
	}
	return string(output)
}

// startTPM starts a software TPM in its factory state: all banks, no certificates.
func startTPM(t testing.TB) *swtpm.TPM {
	t.Helper()
	chip, err := swtpm.Start(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := chip.Close(); err != nil {
			t.Error(err)
		}
	})
	return chip
}

func sourceOf(chip *swtpm.TPM, want Selection) *Source {
	return &Source{Device: chip.Socket, DeviceGiven: true, BootID: "../testdata/tpm/sysfs/tpm_version_major", Selection: want}
}

// TestSoftwareTPM compares what we read with what tpm2-tools read.
func TestSoftwareTPM(t *testing.T) {
	folder := t.TempDir()
	if err := swtpm.Manufacture(t.Context(), folder, "sha1", "sha256"); err != nil {
		t.Fatal(err)
	}
	chip, err := swtpm.Start(t.Context(), folder)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = chip.Close() }()
	if err := chip.Extend(7, "Secure Boot"); err != nil {
		t.Fatal(err)
	}
	source := sourceOf(chip, Select(pcrSet(t, "0-23"), SHA1, SHA256))
	reading, err := source.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}

	if got, want := digestsByPlace(reading.PCRs), toolDigests(tpm2Tool(t, chip, "tpm2_pcrread", "sha1:all+sha256:all")); !reflect.DeepEqual(got, want) {
		t.Errorf("PCRs: got %v, want %v", got, want)
	}
	clock := tpm2Tool(t, chip, "tpm2_readclock")
	for key, want := range map[string]uint32{"reset_count": reading.Clock.Resets, "restart_count": reading.Clock.Restarts} {
		if got := toolValue(t, clock, key); got != int64(want) {
			t.Errorf("%s: the tool's is %d, ours %d", key, got, want)
		}
	}
	if ago := time.Duration(toolValue(t, clock, "clock"))*time.Millisecond - reading.Clock.Running; ago < 0 || ago > time.Minute {
		t.Errorf("clock: the tool's is %v after ours", ago)
	}
	if got, want := *reading.Properties, (Properties{"IBM", "SW TPM", "8217.4131.22.13878", "1.64"}); got != want {
		t.Errorf("properties: got %+v, want %+v", got, want)
	}
	if got, want := *reading.Lockout, (Lockout{MaxFailures: 3}); got != want || reading.SelfTest != SelfTestPassed {
		t.Errorf("lockout, self-test: got %+v, %q, want %+v, passed", got, reading.SelfTest, want)
	}
	checkIssuedEKs(t, reading.EKCertificates)

	source.Selection = Select(NewPCRSet(0, 2, 4, 7), SHA256)
	steady, err := source.Read(t.Context())
	if err != nil || steady.Commands != 4 {
		t.Errorf("steady reading: got %d commands, %v, want 4", steady.Commands, err)
	}
}

func checkIssuedEKs(t *testing.T, got []EKCertificate) {
	t.Helper()
	var indices []uint32
	for _, ek := range got {
		indices = append(indices, ek.Index)
		if ek.Failed != "" || ek.Certificate.Issuer != "CN=swtpm-localca" || time.Since(ek.Certificate.NotBefore) > time.Hour {
			t.Errorf("EK certificate: got %+v", ek)
		}
	}
	if want := []uint32{0x01c00002, 0x01c00016}; !slices.Equal(indices, want) {
		t.Errorf("EK certificates: got %x, want %x", indices, want)
	}
}

func digestsByPlace(pcrs []PCR) map[string]string {
	found := map[string]string{}
	for _, pcr := range pcrs {
		found[fmt.Sprintf("%s:%d", pcr.Bank, pcr.Index)] = strings.ToUpper(pcr.Digest.String())
	}
	return found
}

// toolDigests reads the output of tpm2_pcrread.
func toolDigests(output string) map[string]string {
	found := map[string]string{}
	bank := ""
	for line := range strings.Lines(output) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		if value == "" {
			bank = key
			continue
		}
		found[bank+":"+strings.TrimSpace(key)] = strings.TrimPrefix(strings.TrimSpace(value), "0x")
	}
	return found
}

func toolValue(t *testing.T, output, key string) int64 {
	t.Helper()
	match := regexp.MustCompile(`(?m)^\s*` + key + `: (\d+)`).FindStringSubmatch(output)
	if match == nil {
		t.Fatalf("no %s in %q", key, output)
	}
	value, err := strconv.ParseInt(match[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func TestExtendAndRestart(t *testing.T) {
	chip := startTPM(t)
	source := sourceOf(chip, Select(NewPCRSet(7), SHA256))
	read := func() Reading {
		t.Helper()
		reading, err := source.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return reading
	}
	fresh := read()
	if err := chip.Extend(7, "something else"); err != nil {
		t.Fatal(err)
	}
	extended := read()
	if extended.Boot != fresh.Boot || bytes.Equal(extended.PCRs[0].Digest, fresh.PCRs[0].Digest) || *extended.PCRUpdates <= *fresh.PCRUpdates {
		t.Errorf("extended: got %+v after %+v, want another digest in the same boot", extended, fresh)
	}
	if err := chip.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	again := read()
	if again.Boot == fresh.Boot || again.Clock.Resets != fresh.Clock.Resets+1 || !bytes.Equal(again.PCRs[0].Digest, fresh.PCRs[0].Digest) {
		t.Errorf("restarted: got %+v after %+v, want the same digest in the next boot", again, fresh)
	}
	if again.Commands <= 4 || extended.Commands != 4 {
		t.Errorf("commands: got %d and, after the restart, %d; want the facts read again", extended.Commands, again.Commands)
	}
}

func TestBanks(t *testing.T) {
	chip := startTPM(t)
	reading, err := sourceOf(chip, Select(NewPCRSet(0), SHA384, SHA512, SM3)).Read(t.Context())
	if got, want := places(reading.PCRs), []string{"sha384:0", "sha512:0"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	const want = "PCR bank sm3_256 is not allocated in this TPM (allocated: sha1, sha256, sha384, sha512)"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if reading.Clock == nil || reading.SelfTest != SelfTestPassed {
		t.Errorf("got %+v, want the rest", reading)
	}
}

func TestWedged(t *testing.T) {
	chip := startTPM(t)
	source := sourceOf(chip, Select(NewPCRSet(0), SHA256))
	if err := chip.Wedge(); err != nil {
		t.Fatal(err)
	}
	// More often than connections fit into the socket's queue.
	for range 4 {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		reading, err := source.Read(ctx)
		cancel()
		checkReason(t, err, failure.Timeout)
		if reading.Clock != nil || reading.PCRs != nil {
			t.Errorf("got %+v, want nothing read", reading)
		}
	}
	if err := chip.Unwedge(); err != nil {
		t.Fatal(err)
	}
	if _, err := source.Read(t.Context()); err != nil {
		t.Errorf("after it: %v", err)
	}
	if err := chip.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := source.Read(t.Context())
	checkReason(t, err, failure.Unreachable)
}

func TestOccupied(t *testing.T) {
	chip := startTPM(t)
	other, err := (&net.Dialer{}).DialContext(t.Context(), "unix", chip.Socket)
	if err != nil {
		t.Fatal(err)
	}
	source := sourceOf(chip, Select(NewPCRSet(0), SHA256))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = source.Read(ctx)
	checkReason(t, err, failure.Timeout)
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := source.Read(t.Context()); err != nil {
		t.Errorf("when the other client has left: %v", err)
	}
}

// TestLockout brings a TPM into lockout by wrong passwords, with an index in the
// range of EK certificates that could do the same to us.
func TestLockout(t *testing.T) {
	chip := startTPM(t)
	const index = tpm2.TPMHandle(0x01c00020)
	source := sourceOf(chip, nil)
	if err := chip.Do(func(tpm transport.TPM) error {
		_, err := tpm2.NVDefineSpace{
			AuthHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHOwner, Auth: tpm2.PasswordAuth(nil)},
			Auth:       tpm2.TPM2BAuth{Buffer: []byte("secret")},
			PublicInfo: tpm2.New2B(tpm2.TPMSNVPublic{
				NVIndex: index, NameAlg: tpm2.TPMAlgSHA256, DataSize: 4,
				Attributes: tpm2.TPMANV{AuthRead: true, AuthWrite: true, NT: tpm2.TPMNTOrdinary},
			}),
		}.Execute(tpm)
		return errors.Join(err, writeNV(tpm, index, "secret"))
	}); err != nil {
		t.Fatal(err)
	}
	read := func() Lockout {
		t.Helper()
		reading, err := source.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return *reading.Lockout
	}
	if got, want := read(), (Lockout{MaxFailures: 3}); got != want {
		t.Errorf("after reading alone: got %+v, want %+v", got, want)
	}
	for failures := uint32(1); failures <= 3; failures++ {
		err := chip.Do(func(tpm transport.TPM) error { return writeNV(tpm, index, "guess") })
		if !errors.Is(err, tpm2.TPMRCAuthFail) {
			t.Fatalf("guess: got %v, want TPM_RC_AUTH_FAIL", err)
		}
		if got, want := read(), (Lockout{failures, 3, failures == 3}); got != want {
			t.Errorf("after guesses: got %+v, want %+v", got, want)
		}
	}
}

func writeNV(tpm transport.TPM, index tpm2.TPMHandle, password string) error {
	public, err := tpm2.NVReadPublic{NVIndex: index}.Execute(tpm)
	if err != nil {
		return err
	}
	_, err = tpm2.NVWrite{
		AuthHandle: tpm2.AuthHandle{Handle: index, Name: public.NVName, Auth: tpm2.PasswordAuth([]byte(password))},
		NVIndex:    tpm2.NamedHandle{Handle: index, Name: public.NVName},
		Data:       tpm2.TPM2BMaxNVBuffer{Buffer: []byte("data")},
	}.Execute(tpm)
	return err
}

// TestImpostors: a socket whose owner doesn't speak TPM.
func TestImpostors(t *testing.T) {
	for _, test := range []struct {
		name     string
		answer   []byte
		reason   failure.Reason
		contains string
	}{
		{"hangs up", nil, failure.Unreachable, "EOF"},
		{"short header", []byte{0x80, 1, 0, 0}, failure.Unreachable, "unexpected EOF"},
		{"not a TPM", []byte("HTTP/1.1 400 Bad Request\r\n\r\n"), failure.Malformed, "claims to have"},
		{"shorter than claimed", response(make([]byte, 25))[:20], failure.Unreachable, "35 bytes ends early"},
		{"longer than claimed", append(response(make([]byte, 25)), 0), failure.Malformed, "response of 36 bytes or more claims to have 35"},
		{"claims a gigabyte", []byte{0x80, 1, 0x40, 0, 0, 0, 0, 0, 0, 0}, failure.Malformed, "claims to have"},
		{"claims nothing", []byte{0x80, 1, 0, 0, 0, 0, 0, 0, 0, 0}, failure.Malformed, "claims to have"},
		{"TPM 1.2", []byte{0, 0xc4, 0, 0, 0, 10, 0, 0, 0, 0x1e}, failure.Internal, "0x1e"},
		{"success of the wrong kind", frame(tpm2.TPMSTSessions, 0, make([]byte, 25)), failure.Malformed, "tag 0x8002"},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "tpm.sock")
			serve(t, path, test.answer)
			source := &Source{Device: path, DeviceGiven: true, Selection: Select(NewPCRSet(0), SHA256)}
			reading, err := source.Read(t.Context())
			checkReason(t, err, test.reason)
			if err == nil || !strings.Contains(err.Error(), test.contains) {
				t.Errorf("got error %v, want %q in it", err, test.contains)
			}
			reading.Commands = 0
			if want := (Reading{Source: FromDevice}); !reflect.DeepEqual(reading, want) {
				t.Errorf("got %+v, want nothing read", reading)
			}
		})
	}
}

// serve answers the first command of a connection and closes it.
func serve(t *testing.T, path string, answer []byte) {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, maxResponse))
			_, _ = conn.Write(answer)
			_ = conn.Close()
		}
	}()
}

func TestOpenDevice(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tpm0")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, filepath.Dir(file), filepath.Join(filepath.Dir(file), "absent")} {
		device, err := openDevice(t.Context(), path)
		if err == nil {
			t.Errorf("%s: got %v, want an error", path, device)
			continue
		}
		checkReason(t, err, failure.Unreachable)
	}
	// A character device that is no TPM: /dev/zero gives a header of zeros.
	reading, err := (&Source{Device: "/dev/zero", DeviceGiven: true}).Read(t.Context())
	checkReason(t, err, failure.Malformed)
	if reading.Commands != 1 {
		t.Errorf("commands: got %d, want 1", reading.Commands)
	}
}

func BenchmarkRead(b *testing.B) {
	source := sourceOf(startTPM(b), Select(NewPCRSet(0, 1, 2, 3, 4, 5, 6, 7), SHA256))
	if _, err := source.Read(b.Context()); err != nil {
		b.Fatal(err)
	}
	commands := 0
	b.ReportAllocs()
	for b.Loop() {
		reading, err := source.Read(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		commands += reading.Commands
	}
	b.ReportMetric(float64(commands)/float64(b.N), "commands/op")
}
