package tpm

import (
	"bytes"
	_ "crypto/sha1" //nolint:gosec // registers the hash of the oldest bank, for logs of that bank
	_ "crypto/sha256"
	_ "crypto/sha512"

	"github.com/google/go-eventlog/tcg"

	"funlab.casa/attestation_exporter/failure"
)

// A Log is the firmware's record of what it extended into the PCRs, as the kernel
// hands it on (TCG PC Client Platform Firmware Profile, section 10). Nothing in it
// is true because it is written there: it is a claim that a replay can check
// against the chip.
type Log struct {
	// Banks are the banks that the log has digests for, of those that can be
	// replayed here.
	Banks  []Bank
	Events []Event
}

// An Event is one entry of a Log.
type Event struct {
	PCR  int
	Type EventType
	// Digests are what was extended, by bank.
	Digests map[Bank]Digest
	// Data describes what was measured. For some types it is what was measured.
	Data []byte
}

// EventType is the kind of an event (PC Client Platform Firmware Profile, section
// 10.4.1).
type EventType uint32

// The kinds that this program looks at.
const (
	EventNoAction        EventType = 0x00000003 // not extended
	EventVariableConfig  EventType = 0x80000001 // EV_EFI_VARIABLE_DRIVER_CONFIG
	EventBootApplication EventType = 0x80000003 // EV_EFI_BOOT_SERVICES_APPLICATION
)

// MaxLog bounds a log in bytes. Firmware sets aside 64 KiB; kernels hand on what
// they find.
const MaxLog = 4 << 20

// lastFirmwarePCR is the last of the PCRs that only firmware extends.
const lastFirmwarePCR = 7

// ParseLog reads a log in the crypto-agile form or, from older firmware, in the
// form that has SHA-1 alone. A log that is cut in the middle of an event is
// malformed as a whole, since nobody can say what is missing.
func ParseLog(raw []byte) (Log, error) {
	if len(raw) > MaxLog {
		return Log{}, failure.Errorf(failure.Malformed, "event log has more than %d bytes", MaxLog)
	}
	parsed, err := tcg.ParseEventLog(raw, tcg.ParseOpts{AllowPadding: true})
	if err != nil {
		return Log{}, failure.Errorf(failure.Malformed, "parse event log: %w", err)
	}
	var log Log
	for _, alg := range parsed.Algs {
		log.add(Bank(alg), parsed.Events(alg))
	}
	return log, nil
}

// add merges the events as one bank has them. The library gives the same events
// for each bank, in the same order.
func (l *Log) add(bank Bank, events []tcg.Event) {
	l.Banks = append(l.Banks, bank)
	if l.Events == nil {
		l.Events = make([]Event, len(events))
		for i, event := range events {
			l.Events[i] = Event{PCR: event.Index, Type: EventType(event.Type), Data: event.Data, Digests: map[Bank]Digest{}}
		}
	}
	for i, event := range events {
		if event.Digest != nil {
			l.Events[i].Digests[bank] = event.Digest
		}
	}
}

// Replay returns the values that the chip must show if the log is the whole
// truth. A PCR without an event has no value here, and neither has one with an
// event that lacks a digest of that bank.
func (l Log) Replay() Values {
	values := Values{}
	for _, bank := range l.Banks {
		spoilt := map[int]bool{}
		for _, event := range l.Events {
			if event.Type == EventNoAction || spoilt[event.PCR] {
				continue
			}
			before, begun := values[bank][event.PCR]
			if !begun {
				before = l.initial(bank, event.PCR)
			}
			after, ok := bank.Extend(before, event.Digests[bank])
			if !ok {
				spoilt[event.PCR] = true
				delete(values[bank], event.PCR)
				continue
			}
			values.set(bank, event.PCR, after)
		}
	}
	return values
}

const startupLocality = "StartupLocality\x00"

// initial is what a PCR holds before its first event: zeros, but for PCR 0, which
// starts from the locality that started the TPM where the log names one (Platform
// Firmware Profile, section 10.4.5.3).
func (l Log) initial(bank Bank, pcr int) Digest {
	digest := make(Digest, bank.Hash().Size())
	if pcr != 0 {
		return digest
	}
	for _, event := range l.Events {
		if event.Type == EventNoAction && event.PCR == 0 && len(event.Data) == len(startupLocality)+1 &&
			bytes.HasPrefix(event.Data, []byte(startupLocality)) {
			digest[len(digest)-1] = event.Data[len(startupLocality)]
		}
	}
	return digest
}

// Extend returns what a PCR of the bank holds after a digest was extended into it
// (TPM 2.0 Library, part 1, section 17.1). It is false if the digest isn't one of
// the bank's.
func (b Bank) Extend(before, digest Digest) (Digest, bool) {
	hash := b.Hash()
	if hash == 0 || len(digest) != hash.Size() {
		return nil, false
	}
	state := hash.New()
	state.Write(before)
	state.Write(digest)
	return state.Sum(nil), true
}

// A LogMatch is the verdict on one PCR of the firmware's.
type LogMatch struct {
	Bank    Bank
	PCR     int
	Matches bool
}

// Firmware returns the values of the PCRs that only firmware extends. A log goes
// on to tell of others, but never to their end.
func (v Values) Firmware() Values {
	firmware := Values{}
	for bank, pcrs := range v {
		for index, digest := range pcrs {
			if index <= lastFirmwarePCR {
				firmware.set(bank, index, digest)
			}
		}
	}
	return firmware
}

// Explains tells whether the log gives what the chip shows. A value that the chip
// didn't tell isn't held against the log.
func (l Log) Explains(bank Bank, pcr int, chip Values) bool {
	got, ok := chip[bank][pcr]
	return !ok || bytes.Equal(l.Replay()[bank][pcr], got)
}

// Compare tells for each of PCR 0 to 7 whether the replay gives what the chip
// shows. PCRs that either side lacks are left out.
func (l Log) Compare(chip Values) []LogMatch {
	var matches []LogMatch
	replay := l.Replay()
	for _, bank := range l.Banks {
		for pcr := range lastFirmwarePCR + 1 {
			want, inLog := replay[bank][pcr]
			got, inChip := chip[bank][pcr]
			if inLog && inChip {
				same := bytes.Equal(want, got) || (pcr == exitBootServicesPCR && leavesBootServices(bank, want, got))
				matches = append(matches, LogMatch{bank, pcr, same})
			}
		}
	}
	return matches
}

// The actions of ExitBootServices (Platform Firmware Profile, section 3.3.4.6).
const (
	exitBootServicesPCR    = 5
	bootServicesInvocation = "Exit Boot Services Invocation"
	bootServicesExited     = "Exit Boot Services Returned with Success"
	bootServicesExitFailed = "Exit Boot Services Returned with Failure"
)

// leavesBootServices tells whether the chip is ahead of the log by nothing but
// the events of ExitBootServices. The firmware measures them after it has handed
// the log over, in a table of its own, which kernels before 5.3 don't append and
// some firmware doesn't fill.
func leavesBootServices(bank Bank, logged, chip Digest) bool {
	for _, way := range [][]string{
		{bootServicesInvocation, bootServicesExited},
		{bootServicesInvocation, bootServicesExitFailed},
		{bootServicesInvocation, bootServicesExitFailed, bootServicesExited},
	} {
		value := logged
		for _, action := range way {
			value, _ = bank.Extend(value, bank.Digest([]byte(action))) // no value equals none
		}
		if bytes.Equal(value, chip) {
			return true
		}
	}
	return false
}

// Digest returns the digest of data, or nil where Hash is 0.
func (b Bank) Digest(data []byte) Digest {
	hash := b.Hash()
	if hash == 0 {
		return nil
	}
	state := hash.New()
	state.Write(data)
	return state.Sum(nil)
}

// Describes tells whether the event's data is exactly what was measured, in every
// bank that can be computed here. Only then does the chip vouch for the data.
func (e Event) Describes(data []byte) bool {
	known := false
	for bank, digest := range e.Digests {
		if computed := bank.Digest(data); computed != nil {
			known = true
			if !bytes.Equal(computed, digest) {
				return false
			}
		}
	}
	return known
}
