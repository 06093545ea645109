package firmware

import (
	"bytes"
	"encoding/binary"
	"unicode/utf16"

	"funlab.casa/attestation_exporter/tpm"
)

// The GUID of the firmware's own variables, as an EFI_GUID lies in memory.
const globalGUID = "\x61\xdf\xe4\x8b\xca\x93\xd2\x11\xaa\x0d\x00\xe0\x98\x03\x2b\x8c"

// The kinds of events (TCG PC Client Platform Firmware Profile, section 10.4.1).
const (
	evSeparator       = 0x00000004
	evEFIAction       = 0x80000007
	evVariableConfig  = 0x80000001
	evBootApplication = 0x80000003
)

// A Log is written while a host boots.
type Log struct {
	Banks  []tpm.Bank
	Events []tpm.Event
}

// Measure adds an event whose digest is that of measured.
func (l *Log) Measure(pcr int, kind uint32, measured, data []byte) {
	event := tpm.Event{PCR: pcr, Type: tpm.EventType(kind), Data: data, Digests: map[tpm.Bank]tpm.Digest{}}
	for _, bank := range l.Banks {
		event.Digests[bank] = bank.Digest(measured)
	}
	l.Events = append(l.Events, event)
}

// Variable measures a variable of Secure Boot's policy.
func (l *Log) Variable(name string, content []byte) {
	var data bytes.Buffer
	data.WriteString(globalGUID)
	units := utf16.Encode([]rune(name))
	for _, part := range []any{uint64(len(units)), uint64(len(content)), units, content} {
		_ = binary.Write(&data, binary.LittleEndian, part) // A Buffer takes everything.
	}
	l.Measure(7, evVariableConfig, data.Bytes(), data.Bytes())
}

// Separators end what the firmware itself measures into PCR 0 to 7.
func (l *Log) Separators() {
	l.Measure(4, evEFIAction, []byte("Calling EFI Application from Boot Option"), []byte("Calling EFI Application from Boot Option"))
	for pcr := range 8 {
		l.Measure(pcr, evSeparator, make([]byte, 4), make([]byte, 4))
	}
}

// Application measures an image that Image has made.
func (l *Log) Application(image []byte) {
	event := tpm.Event{PCR: 4, Type: evBootApplication, Data: make([]byte, 32), Digests: map[tpm.Bank]tpm.Digest{}}
	for _, bank := range l.Banks {
		event.Digests[bank] = Authenticode(image, bank.Hash())
	}
	l.Events = append(l.Events, event)
}

// Values returns what a chip shows after these events.
func (l *Log) Values() tpm.Values {
	return tpm.Log{Banks: l.Banks, Events: l.Events}.Replay()
}

// Bytes returns the log in its crypto-agile form (section 10.2.2).
func (l *Log) Bytes() []byte {
	var log bytes.Buffer
	put := func(parts ...any) {
		for _, part := range parts {
			_ = binary.Write(&log, binary.LittleEndian, part) // A Buffer takes everything.
		}
	}
	header := 16 + 4 + 4 + 4 + 4*len(l.Banks) + 1
	put(uint32(0), uint32(tpm.EventNoAction), make([]byte, 20), uint32(header))
	put([]byte("Spec ID Event03\x00"), uint32(0), []byte{0, 2, 0, 2}, uint32(len(l.Banks)))
	for _, bank := range l.Banks {
		put(uint16(bank), uint16(bank.Hash().Size()))
	}
	put(uint8(0))
	for _, event := range l.Events {
		put(uint32(event.PCR), uint32(event.Type), uint32(len(event.Digests)))
		for _, bank := range l.Banks {
			put(uint16(bank), []byte(event.Digests[bank]))
		}
		put(uint32(len(event.Data)), event.Data)
	}
	return log.Bytes()
}
