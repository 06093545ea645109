package tpm

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-tpm/tpm2"
)

// A fakeTPM answers as a TPM with two banks and one EK certificate index does. It
// is for what swtpm can't be brought to: busy, broken, stingy or lying.
type fakeTPM struct {
	properties map[tpm2.TPMPT]uint32
	perRead    int // PCRs in one answer
	perAsk     int // properties in one answer
	testResult tpm2.TPMRC
	nv         map[tpm2.TPMHandle][]byte
	// answer replaces what is answered to a command, unless it returns nil.
	answer func(code tpm2.TPMCC) []byte

	response bytes.Buffer
	sent     []tpm2.TPMCC
}

func newFakeTPM() *fakeTPM {
	return &fakeTPM{
		properties: map[tpm2.TPMPT]uint32{
			tpm2.TPMPTRevision:         159,
			tpm2.TPMPTManufacturer:     0x49465800, // "IFX\0"
			tpm2.TPMPTVendorString1:    0x534c4239, // "SLB9"
			tpm2.TPMPTVendorString2:    0x36373000, // "670\0"
			tpm2.TPMPTFirmwareVersion1: 0x00070055,
			tpm2.TPMPTFirmwareVersion2: 0x0011cb00,
			tpm2.TPMPTNVBufferMax:      768,
			tpm2.TPMPTPermanent:        0,
			tpm2.TPMPTLockoutCounter:   0,
			tpm2.TPMPTMaxAuthFail:      32,
		},
		perRead: 8,
		perAsk:  64,
		nv:      map[tpm2.TPMHandle][]byte{},
	}
}

// source returns a Source whose device is the fake, as a given one.
func (f *fakeTPM) source(want Selection) *Source {
	return &Source{
		Device: "fake", DeviceGiven: true, BootID: "../testdata/tpm/sysfs/tpm_version_major", Selection: want,
		open: func(context.Context, string) (io.ReadWriteCloser, error) { return f, nil },
	}
}

func (f *fakeTPM) Close() error { return nil }

func (f *fakeTPM) Read(p []byte) (int, error) { return f.response.Read(p) }

func (f *fakeTPM) Write(command []byte) (int, error) {
	code := tpm2.TPMCC(binary.BigEndian.Uint32(command[6:]))
	f.sent = append(f.sent, code)
	f.response.Reset()
	if f.answer != nil {
		if response := f.answer(code); response != nil {
			f.response.Write(response)
			return len(command), nil
		}
	}
	f.response.Write(f.honest(code, command[headerSize:]))
	return len(command), nil
}

func (f *fakeTPM) honest(code tpm2.TPMCC, parameters []byte) []byte {
	switch code {
	case tpm2.TPMCCReadClock:
		return response(tpm2.Marshal(tpm2.TPMSTimeInfo{
			Time: 1, ClockInfo: tpm2.TPMSClockInfo{Clock: 86_400_000, ResetCount: 17, RestartCount: 2, Safe: true},
		}))
	case tpm2.TPMCCGetTestResult:
		return response([]byte{0, 1, 0xff}, number(uint32(f.testResult)))
	case tpm2.TPMCCPCRRead:
		return f.pcrs(parameters[4:])
	case tpm2.TPMCCGetCapability:
		return f.capability(tpm2.TPMCap(binary.BigEndian.Uint32(parameters)), binary.BigEndian.Uint32(parameters[4:]))
	case tpm2.TPMCCNVReadPublic:
		index := tpm2.TPMHandle(binary.BigEndian.Uint32(parameters))
		public := tpm2.New2B(tpm2.TPMSNVPublic{
			NVIndex: index, NameAlg: tpm2.TPMAlgSHA256, DataSize: uint16(len(f.nv[index])),
			Attributes: tpm2.TPMANV{AuthRead: true, NoDA: true, Written: true, NT: tpm2.TPMNTOrdinary},
		})
		return response(tpm2.Marshal(public), []byte{0, 1, 0})
	case tpm2.TPMCCNVRead:
		index := tpm2.TPMHandle(binary.BigEndian.Uint32(parameters))
		tail := parameters[len(parameters)-4:]
		size, offset := binary.BigEndian.Uint16(tail), binary.BigEndian.Uint16(tail[2:])
		if int(offset)+int(size) > len(f.nv[index]) {
			return refusal(tpm2.TPMRCNVRange)
		}
		data := tpm2.Marshal(tpm2.TPM2BData{Buffer: f.nv[index][offset:][:size]})
		return sessionResponse(data)
	default:
		return refusal(tpm2.TPMRCCommandCode)
	}
}

func (f *fakeTPM) pcrs(selection []byte) []byte {
	bank := Bank(binary.BigEndian.Uint16(selection))
	var given PCRSet
	var digests []tpm2.TPM2BDigest
	for index := range pcrsIn(selection[3:]).All() {
		if len(digests) == f.perRead {
			break
		}
		given |= NewPCRSet(index)
		digests = append(digests, tpm2.TPM2BDigest{Buffer: fakeDigest(bank, index)})
	}
	return response(number(23),
		tpm2.Marshal(tpm2.TPMLPCRSelection{PCRSelections: []tpm2.TPMSPCRSelection{
			{Hash: tpm2.TPMIAlgHash(bank), PCRSelect: selectBytes(given)},
		}}),
		tpm2.Marshal(tpm2.TPMLDigest{Digests: digests}))
}

func fakeDigest(bank Bank, index int) Digest {
	size := 32
	if bank == SHA1 {
		size = 20
	}
	return bytes.Repeat([]byte{byte(index)}, size)
}

func (f *fakeTPM) capability(what tpm2.TPMCap, first uint32) []byte {
	switch what {
	case tpm2.TPMCapPCRs:
		all := []byte{0xff, 0xff, 0xff}
		return response([]byte{0}, number(uint32(what)), tpm2.Marshal(tpm2.TPMLPCRSelection{
			PCRSelections: []tpm2.TPMSPCRSelection{
				{Hash: tpm2.TPMAlgSHA1, PCRSelect: all},
				{Hash: tpm2.TPMAlgSHA256, PCRSelect: all},
				{Hash: tpm2.TPMAlgSHA384, PCRSelect: []byte{0, 0, 0}},
				{Hash: tpm2.TPMAlgSHA3256, PCRSelect: all},
			},
		}))
	case tpm2.TPMCapHandles:
		var list tpm2.TPMLHandle
		for _, handle := range slices.Sorted(maps.Keys(f.nv)) {
			if uint32(handle) >= first {
				list.Handle = append(list.Handle, handle)
			}
		}
		return response([]byte{0}, number(uint32(what)), tpm2.Marshal(list))
	case tpm2.TPMCapTPMProperties:
		var list tpm2.TPMLTaggedTPMProperty
		more := byte(0)
		for _, property := range slices.Sorted(maps.Keys(f.properties)) {
			switch {
			case uint32(property) < first:
			case len(list.TPMProperty) == f.perAsk:
				more = 1
			default:
				list.TPMProperty = append(list.TPMProperty,
					tpm2.TPMSTaggedProperty{Property: property, Value: f.properties[property]})
			}
		}
		return response([]byte{more}, number(uint32(what)), tpm2.Marshal(list))
	default:
		return refusal(tpm2.TPMRCValue)
	}
}

func number(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }

func frame(tag tpm2.TPMST, code tpm2.TPMRC, body ...[]byte) []byte {
	content := bytes.Join(body, nil)
	header := binary.BigEndian.AppendUint16(nil, uint16(tag))
	return slices.Concat(header, number(uint32(headerSize+len(content))), number(uint32(code)), content)
}

func response(body ...[]byte) []byte {
	return frame(tpm2.TPMSTNoSessions, tpm2.TPMRCSuccess, body...)
}

// sessionResponse ends with the answer of a password session.
func sessionResponse(parameters []byte) []byte {
	return frame(tpm2.TPMSTSessions, tpm2.TPMRCSuccess, number(uint32(len(parameters))), parameters, []byte{0, 0, 1, 0, 0})
}

func refusal(code tpm2.TPMRC) []byte { return frame(tpm2.TPMSTNoSessions, code) }

// only returns an answer function that gives response to one command.
func only(command tpm2.TPMCC, response []byte) func(tpm2.TPMCC) []byte {
	return func(code tpm2.TPMCC) []byte {
		if code == command {
			return response
		}
		return nil
	}
}

// places lists PCRs without their digests.
func places(pcrs []PCR) []string {
	var names []string
	for _, pcr := range pcrs {
		names = append(names, fmt.Sprintf("%s:%d", pcr.Bank, pcr.Index))
	}
	return names
}

func pcrSet(t testing.TB, text string) PCRSet {
	t.Helper()
	set, err := ParsePCRs(text)
	if err != nil {
		t.Fatal(err)
	}
	return set
}
