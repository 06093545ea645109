package tpm_test

import (
	"bytes"
	"os"
	"testing"

	"funlab.casa/attestation_exporter/failure"
	"funlab.casa/attestation_exporter/internal/tower/recorded"
	"funlab.casa/attestation_exporter/tpm"
)

func readLog(t testing.TB, boot string) []byte {
	t.Helper()
	raw, err := os.ReadFile("../testdata/boot/" + boot + "/binary_bios_measurements")
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func parseLog(t testing.TB, raw []byte) tpm.Log {
	t.Helper()
	log, err := tpm.ParseLog(raw)
	if err != nil {
		t.Fatal(err)
	}
	return log
}

func TestReplayRecorded(t *testing.T) {
	tests := []struct {
		boot   string
		events int
	}{
		{"newest", 58}, // and the Spec ID event, which belongs to the format
		{"other", 59},
		{"secure-boot-off-linuxefi", 53},
	}
	for _, tt := range tests {
		t.Run(tt.boot, func(t *testing.T) {
			log := parseLog(t, readLog(t, tt.boot))
			if got := len(log.Events); got != tt.events {
				t.Errorf("events: got %d, want %d", got, tt.events)
			}
			chip := recorded.PCRs(t, "../testdata/boot/"+tt.boot+"/pcrread.yaml")
			compared := 0
			for bank, pcrs := range log.Replay() {
				for index, got := range pcrs {
					compared++
					if want := chip[bank][index]; !bytes.Equal(got, want) {
						t.Errorf("%s PCR %d: got %s, want %s", bank, index, got, want)
					}
				}
			}
			if compared < 2*8 {
				t.Errorf("compared %d PCRs, want at least PCR 0 to 7 of two banks", compared)
			}
			for _, match := range log.Compare(chip) {
				if !match.Matches {
					t.Errorf("%s PCR %d: got no match, want one", match.Bank, match.PCR)
				}
			}
		})
	}
}

func TestCompareNamesThePCR(t *testing.T) {
	chip := recorded.PCRs(t, "../testdata/boot/newest/pcrread.yaml")
	extended, _ := tpm.SHA256.Extend(chip[tpm.SHA256][7], make(tpm.Digest, 32))
	chip[tpm.SHA256][7] = extended
	for _, match := range parseLog(t, readLog(t, "newest")).Compare(chip) {
		want := match.Bank != tpm.SHA256 || match.PCR != 7
		if match.Matches != want {
			t.Errorf("%s PCR %d: got match %t, want %t", match.Bank, match.PCR, match.Matches, want)
		}
	}
}

// TestExitBootServicesMissing cuts off the two events that come from the table of
// final events.
func TestExitBootServicesMissing(t *testing.T) {
	log := parseLog(t, readLog(t, "newest"))
	log.Events = log.Events[:len(log.Events)-2]
	chip := recorded.PCRs(t, "../testdata/boot/newest/pcrread.yaml")
	matches := log.Compare(chip)
	if got, want := len(matches), 16; got != want {
		t.Fatalf("PCRs compared: got %d, want %d", got, want)
	}
	for _, match := range matches {
		if !match.Matches {
			t.Errorf("%s PCR %d: got no match, want one", match.Bank, match.PCR)
		}
	}
}

func TestStartupLocality(t *testing.T) {
	digest := make(tpm.Digest, 20)
	log := tpm.Log{Banks: []tpm.Bank{tpm.SHA1}, Events: []tpm.Event{
		{PCR: 0, Type: tpm.EventNoAction, Data: []byte("StartupLocality\x00\x03")},
		{PCR: 0, Type: 8, Digests: map[tpm.Bank]tpm.Digest{tpm.SHA1: digest}},
	}}
	start := make(tpm.Digest, 20)
	start[19] = 3
	want, _ := tpm.SHA1.Extend(start, digest)
	if got := log.Replay()[tpm.SHA1][0]; !bytes.Equal(got, want) {
		t.Errorf("PCR 0 started from locality 3: got %s, want %s", got, want)
	}
}

// legacyLog makes a log in the older form, with one SHA-1 digest an event (TCG EFI
// Protocol Specification, section 5.1).
func legacyLog(pcr byte, digest []byte, data string) []byte {
	event := append([]byte{pcr, 0, 0, 0, 8, 0, 0, 0}, digest...)
	return append(append(event, byte(len(data)), 0, 0, 0), data...)
}

func TestParseLogForms(t *testing.T) {
	recordedLog := readLog(t, "newest")
	legacy := append(legacyLog(0, make([]byte, 20), "a"), legacyLog(7, make([]byte, 20), "b")...)
	tests := []struct {
		name   string
		raw    []byte
		events int
		banks  int
		bad    bool
	}{
		{"crypto agile", recordedLog, 58, 2, false},
		{"padded by the kernel", append(bytes.Clone(recordedLog), bytes.Repeat([]byte{0xff}, 64)...), 58, 2, false},
		{"SHA-1 only", legacy, 2, 1, false},
		{"cut within an event", recordedLog[:len(recordedLog)-3], 0, 0, true},
		{"cut within the first", recordedLog[:9], 0, 0, true},
		{"empty", nil, 0, 0, true},
		{"too long", make([]byte, tpm.MaxLog+1), 0, 0, true},
		{"noise", bytes.Repeat([]byte{0x5a}, 4096), 0, 0, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			log, err := tpm.ParseLog(tt.raw)
			if (err != nil) != tt.bad || (err != nil && failure.Of(err) != failure.Malformed) {
				t.Fatalf("error: got %v, want one: %t", err, tt.bad)
			}
			if len(log.Events) != tt.events || len(log.Banks) != tt.banks {
				t.Errorf("got %d events in %d banks, want %d in %d", len(log.Events), len(log.Banks), tt.events, tt.banks)
			}
		})
	}
}

func TestDescribes(t *testing.T) {
	for _, event := range parseLog(t, readLog(t, "newest")).Events {
		if event.Type == tpm.EventVariableConfig && (!event.Describes(event.Data) || event.Describes(append(event.Data, 0))) {
			t.Errorf("variable event of PCR %d: its data should be what was measured, and one byte more should not", event.PCR)
		}
	}
}

func FuzzParseLog(f *testing.F) {
	for _, boot := range []string{"newest", "other", "secure-boot-off-linuxefi"} {
		f.Add(readLog(f, boot))
	}
	f.Add(legacyLog(5, make([]byte, 20), "Calling EFI Application from Boot Option"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		log, err := tpm.ParseLog(raw)
		if err != nil {
			return
		}
		for bank, pcrs := range log.Replay() {
			for index, digest := range pcrs {
				if len(digest) != bank.Hash().Size() {
					t.Errorf("%s PCR %d: %d bytes", bank, index, len(digest))
				}
			}
		}
		log.Compare(log.Replay())
	})
}
