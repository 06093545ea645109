package tpm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-tpm/tpm2"

	"funlab.casa/attestation_exporter/failure"
)

func TestReadHonest(t *testing.T) {
	fake := newFakeTPM()
	source := fake.source(Select(NewPCRSet(0, 7), SHA256, 0x27))
	reading, err := source.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	updates := uint32(23)
	want := Reading{
		Source: FromDevice,
		Boot:   "17.2",
		PCRs: []PCR{
			{SHA256, 0, fakeDigest(SHA256, 0)}, {SHA256, 7, fakeDigest(SHA256, 7)},
			{0x27, 0, fakeDigest(0x27, 0)}, {0x27, 7, fakeDigest(0x27, 7)},
		},
		PCRUpdates: &updates,
		Properties: &Properties{Manufacturer: "IFX", Vendor: "SLB9670", Firmware: "7.85.17.51968", Revision: "1.59"},
		Clock:      &Clock{Running: 24 * time.Hour, Resets: 17, Restarts: 2, Safe: true},
		Lockout:    &Lockout{MaxFailures: 32},
		SelfTest:   SelfTestPassed,
		Commands:   8,
	}
	if !reflect.DeepEqual(reading, want) {
		t.Errorf("got %+v, want %+v", reading, want)
	}

	fake.sent = nil
	if _, err := source.Read(t.Context()); err != nil {
		t.Fatal(err)
	}
	steady := []tpm2.TPMCC{
		tpm2.TPMCCReadClock, tpm2.TPMCCPCRRead, tpm2.TPMCCPCRRead, tpm2.TPMCCGetCapability, tpm2.TPMCCGetTestResult,
	}
	if !slices.Equal(fake.sent, steady) {
		t.Errorf("second reading: got %v, want %v", fake.sent, steady)
	}
}

// TestReadingTravels: another process reads, and sends what it found as JSON.
func TestReadingTravels(t *testing.T) {
	fake := newFakeTPM()
	source := fake.source(Select(NewPCRSet(0), SHA256))
	source.Baseline = baselineFixture
	reading, err := source.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(reading)
	if err != nil {
		t.Fatal(err)
	}
	var got Reading
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, reading) {
		t.Errorf("got %+v, want %+v", got, reading)
	}
}

func TestStingyTPM(t *testing.T) {
	fake := newFakeTPM()
	fake.perRead, fake.perAsk = 3, 1
	reading, err := fake.source(Select(pcrSet(t, "0-9"), SHA256)).Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := len(reading.PCRs); got != 10 {
		t.Errorf("got %v, want PCR 0 to 9", places(reading.PCRs))
	}
	if reading.Properties.Firmware != "7.85.17.51968" || reading.Lockout == nil {
		t.Errorf("got %+v, %+v, want all properties", reading.Properties, reading.Lockout)
	}
}

func TestBaselineIsReadToo(t *testing.T) {
	fake := newFakeTPM()
	source := fake.source(Select(NewPCRSet(0), SHA1))
	source.Baseline = baselineFixture
	reading, err := source.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got, want := places(reading.PCRs), []string{"sha1:0", "sha256:0", "sha256:2", "sha256:4", "sha256:7"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got, want := reading.Baseline.Differs[SHA256], NewPCRSet(0, 2, 4, 7); got != want {
		t.Errorf("differs: got %v, want %v", got, want)
	}
}

// TestOneStepFails: what the TPM refuses or garbles costs only itself.
func TestOneStepFails(t *testing.T) {
	for _, test := range []struct {
		name     string
		answer   func(tpm2.TPMCC) []byte
		lost     string // the field of Reading that is empty
		reason   failure.Reason
		contains string
	}{
		{"clock refused", only(tpm2.TPMCCReadClock, refusal(tpm2.TPMRCCommandCode)), "Clock", failure.Internal, "TPM2_ReadClock: TPM_RC_COMMAND_CODE"},
		{"clock without parameters", only(tpm2.TPMCCReadClock, response()), "Clock", failure.Malformed, "no parameters"},
		{"clock cut off", only(tpm2.TPMCCReadClock, response(make([]byte, 20))), "Clock", failure.Malformed, "TPM2_ReadClock"},
		{"clock beyond time", only(tpm2.TPMCCReadClock, response(bytes.Repeat([]byte{0xff}, 25))), "Clock", failure.Malformed, "292 years"},
		{"PCRs refused", only(tpm2.TPMCCPCRRead, refusal(tpm2.TPMRCValue)), "PCRs", failure.Internal, "TPM2_PCR_Read(sha256)"},
		{"no PCRs", only(tpm2.TPMCCPCRRead, pcrAnswer(SHA256, nil)), "PCRs", failure.Unreachable, "has no PCR 0,7"},
		{"PCRs nobody asked for", only(tpm2.TPMCCPCRRead, pcrAnswer(SHA256, []byte{4, 0, 0}, 32)), "PCRs", failure.Malformed, "nobody asked for"},
		{"PCRs of another bank", only(tpm2.TPMCCPCRRead, pcrAnswer(SHA1, []byte{1, 0, 0}, 20)), "PCRs", failure.Malformed, "bank sha1"},
		{"too few digests", only(tpm2.TPMCCPCRRead, pcrAnswer(SHA256, []byte{0x81, 0, 0}, 32)), "PCRs", failure.Malformed, "1 digests for 2 PCRs"},
		{"digest too short", only(tpm2.TPMCCPCRRead, pcrAnswer(SHA256, []byte{1, 0, 0}, 31)), "PCRs", failure.Malformed, "31 bytes"},
		{"test result refused", only(tpm2.TPMCCGetTestResult, refusal(tpm2.TPMRCCommandCode)), "SelfTest", failure.Internal, "TPM2_GetTestResult"},
		{"test result cut off", only(tpm2.TPMCCGetTestResult, response([]byte{0, 9, 0})), "SelfTest", failure.Malformed, "TPM2_GetTestResult"},
		{"capabilities of another kind", only(tpm2.TPMCCGetCapability, response([]byte{0}, number(uint32(tpm2.TPMCapAlgs)), number(0))), "Lockout", failure.Malformed, "TPM2_GetCapability"},
		{"no properties", only(tpm2.TPMCCGetCapability, response([]byte{1}, number(uint32(tpm2.TPMCapTPMProperties)), number(0))), "Lockout", failure.Malformed, "lacks the lockout state"},
	} {
		t.Run(test.name, func(t *testing.T) {
			fake := newFakeTPM()
			fake.answer = test.answer
			reading, err := fake.source(Select(NewPCRSet(0, 7), SHA256)).Read(t.Context())
			checkReason(t, err, test.reason)
			if err != nil && !strings.Contains(err.Error(), test.contains) {
				t.Errorf("got error %q, want %q in it", err, test.contains)
			}
			for _, field := range []string{"Clock", "PCRs", "Lockout", "SelfTest"} {
				empty := reflect.ValueOf(reading).FieldByName(field).IsZero()
				if empty != (field == test.lost) {
					t.Errorf("%s is empty: got %v, in %+v", field, empty, reading)
				}
			}
		})
	}
}

// pcrAnswer answers TPM2_PCR_Read with a digest of each size.
func pcrAnswer(bank Bank, selected []byte, sizes ...int) []byte {
	var digests []tpm2.TPM2BDigest
	for _, size := range sizes {
		digests = append(digests, tpm2.TPM2BDigest{Buffer: make([]byte, size)})
	}
	return response(number(1),
		tpm2.Marshal(tpm2.TPMLPCRSelection{PCRSelections: []tpm2.TPMSPCRSelection{{Hash: tpm2.TPMIAlgHash(bank), PCRSelect: selected}}}),
		tpm2.Marshal(tpm2.TPMLDigest{Digests: digests}))
}

func TestSelfTest(t *testing.T) {
	for _, test := range []struct {
		result tpm2.TPMRC
		want   SelfTest
	}{
		{tpm2.TPMRCSuccess, SelfTestPassed},
		{tpm2.TPMRCFailure, SelfTestFailed},
		{tpm2.TPMRCNeedsTest, SelfTestUnknown},
		{tpm2.TPMRCTesting, SelfTestUnknown},
		{0xffffffff, SelfTestUnknown},
	} {
		t.Run(string(test.want), func(t *testing.T) {
			fake := newFakeTPM()
			fake.testResult = test.result
			reading, err := fake.source(nil).Read(t.Context())
			if err != nil || reading.SelfTest != test.want {
				t.Errorf("0x%x: got %q, %v, want %q", uint32(test.result), reading.SelfTest, err, test.want)
			}
		})
	}
}

// TestFailureMode: such a TPM answers two commands, and properties one at a time
// (TPM 2.0 Library, part 1, "Failure Mode").
func TestFailureMode(t *testing.T) {
	fake := newFakeTPM()
	fake.testResult = tpm2.TPMRCFailure
	fake.perAsk = 1
	fake.answer = func(code tpm2.TPMCC) []byte {
		if code == tpm2.TPMCCGetTestResult || code == tpm2.TPMCCGetCapability {
			return nil
		}
		return refusal(tpm2.TPMRCFailure)
	}
	reading, err := fake.source(Select(NewPCRSet(0), SHA256)).Read(t.Context())
	checkReason(t, err, failure.Unreachable)
	if !errors.Is(err, tpm2.TPMRCFailure) {
		t.Errorf("got %v, want TPM_RC_FAILURE", err)
	}
	if reading.SelfTest != SelfTestFailed || reading.Properties.Manufacturer != "IFX" {
		t.Errorf("got self-test %q and %+v, want a failed one of IFX", reading.SelfTest, reading.Properties)
	}
	if reading.Boot != "2" || reading.Clock != nil || reading.PCRs != nil {
		t.Errorf("got boot %q, %+v, %v, want the kernel's boot alone", reading.Boot, reading.Clock, reading.PCRs)
	}
}

func TestBusy(t *testing.T) {
	for _, code := range []tpm2.TPMRC{tpm2.TPMRCRetry, tpm2.TPMRCYielded, tpm2.TPMRCTesting} {
		t.Run(code.Error(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake := newFakeTPM()
				left := 3
				fake.answer = func(tpm2.TPMCC) []byte {
					if left--; left < 0 {
						return nil
					}
					return refusal(code)
				}
				begin := time.Now()
				reading, err := fake.source(Select(NewPCRSet(0), SHA256)).Read(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if got, want := time.Since(begin), 7*time.Millisecond; got != want {
					t.Errorf("waited: got %v, want %v", got, want)
				}
				if got, want := reading.Commands, 7+3; got != want {
					t.Errorf("commands: got %d, want %d", got, want)
				}
			})
		})
	}
}

func TestBusyForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFakeTPM()
		fake.answer = only(tpm2.TPMCCPCRRead, refusal(tpm2.TPMRCRetry))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin := time.Now()
		reading, err := fake.source(Select(NewPCRSet(0), SHA1, SHA256)).Read(ctx)
		checkReason(t, err, failure.Timeout)
		if !errors.Is(err, tpm2.TPMRCRetry) {
			t.Errorf("got %v, want TPM_RC_RETRY in it", err)
		}
		if got, want := time.Since(begin), time.Second; got != want {
			t.Errorf("waited: got %v, want %v", got, want)
		}
		if reading.Clock == nil || reading.Lockout != nil {
			t.Errorf("got %+v, want what came before", reading)
		}
	})
}

func TestBusyDevice(t *testing.T) {
	for _, test := range []struct {
		name   string
		busy   time.Duration
		reason failure.Reason
		waited time.Duration
	}{
		{"for a while", 20 * time.Millisecond, "", 31 * time.Millisecond},
		{"for ever", time.Hour, failure.Timeout, time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake := newFakeTPM()
				source := fake.source(nil)
				begin := time.Now()
				source.open = func(context.Context, string) (io.ReadWriteCloser, error) {
					if time.Since(begin) < test.busy {
						return nil, syscall.EBUSY
					}
					return fake, nil
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				_, err := source.Read(ctx)
				checkReason(t, err, test.reason)
				if got := time.Since(begin); got != test.waited {
					t.Errorf("waited: got %v, want %v", got, test.waited)
				}
			})
		})
	}
}

// FuzzAnswer gives a hostile answer to one command, as often as that is sent, and
// honest ones to the others.
func FuzzAnswer(f *testing.F) {
	commands := []tpm2.TPMCC{
		tpm2.TPMCCReadClock, tpm2.TPMCCPCRRead, tpm2.TPMCCGetCapability, tpm2.TPMCCGetTestResult, tpm2.TPMCCNVReadPublic, tpm2.TPMCCNVRead,
	}
	for i := range commands {
		f.Add(uint8(i), response([]byte{1}, number(6), number(1), number(0x200), number(1)))
		f.Add(uint8(i), pcrAnswer(SHA256, []byte{0x81, 0, 0}, 32, 32))
		f.Add(uint8(i), sessionResponse([]byte{0, 2, 0x30, 0x00}))
		f.Add(uint8(i), refusal(tpm2.TPMRCFailure))
		f.Add(uint8(i), response([]byte{0, 1, 0xff}, number(0)))
	}
	f.Fuzz(func(t *testing.T, which uint8, answer []byte) {
		fake := newFakeTPM()
		fake.nv[firstEKIndex] = []byte{0x30, 0}
		asked := 0
		fake.answer = func(code tpm2.TPMCC) []byte {
			if code != commands[int(which)%len(commands)] {
				return nil
			}
			// An answer of TPM_RC_RETRY would go on for ever: that is the deadline's.
			if asked++; asked > maxEKSize+maxRounds {
				return refusal(tpm2.TPMRCFailure)
			}
			return append([]byte{}, answer...)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		reading, _ := fake.source(Select(NewPCRSet(0, 7), SHA256)).Read(ctx)
		for _, pcr := range reading.PCRs {
			if !pcr.Bank.fits(len(pcr.Digest)) || !NewPCRSet(0, 7).Has(pcr.Index) {
				t.Errorf("got %v", pcr)
			}
		}
	})
}
