package luks

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"testing"

	"funlab.casa/attestation_exporter/failure"
	"funlab.casa/attestation_exporter/tpm"
)

// image is a device in memory that remembers how far it was read.
type image struct {
	*bytes.Reader
	furthest int64
}

func (i *image) ReadAt(p []byte, at int64) (int, error) {
	i.furthest = max(i.furthest, at+int64(len(p)))
	return i.Reader.ReadAt(p, at)
}

func newImage(raw []byte) *image { return &image{Reader: bytes.NewReader(raw)} }

func recordedHeader(t testing.TB, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile("../testdata/luks/" + name + ".header.bin")
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// reseal gives a copy a new sequence id, and its checksum back.
func reseal(raw []byte, place int, sequence uint64) {
	part := raw[place : place+16384]
	binary.BigEndian.PutUint64(part[sequenceOffset:], sequence)
	clear(part[checksumOffset : checksumOffset+checksumSize])
	sum := sha256.Sum256(part)
	copy(part[checksumOffset:], sum[:])
}

func TestReadHeaderCopies(t *testing.T) {
	const second = 16384
	tests := []struct {
		name   string
		change func(raw []byte)
		want   []byte // how the JSON begins; nil for no header
	}{
		{"as recorded", func([]byte) {}, []byte(`{"keyslots"`)},
		{"first copy's magic spoilt", func(raw []byte) { clear(raw[:6]) }, []byte(`{"keyslots"`)},
		{"first copy's JSON spoilt", func(raw []byte) { raw[5000] ^= 1 }, []byte(`{"keyslots"`)},
		{"second copy spoilt", func(raw []byte) { clear(raw[second : second+4096]) }, []byte(`{"keyslots"`)},
		{"both spoilt", func(raw []byte) { raw[5000] ^= 1; raw[second+5000] ^= 1 }, nil},
		{"second is newer", func(raw []byte) {
			raw[second+4097] = 'X'
			reseal(raw, second, 1<<40)
		}, []byte(`{Xkeyslots`)},
		{"second is older", func(raw []byte) {
			raw[second+4097] = 'X'
			reseal(raw, second, 0)
		}, []byte(`{"keyslots`)},
		{"size of no specification", func(raw []byte) {
			binary.BigEndian.PutUint64(raw[sizeOffset:], 1<<60)
			binary.BigEndian.PutUint64(raw[second+sizeOffset:], 12345)
		}, nil},
		{"unknown checksum", func(raw []byte) {
			copy(raw[checksumName:], "md5\x00")
			copy(raw[second+checksumName:], "md5\x00")
		}, nil},
		{"a later version", func(raw []byte) { raw[7], raw[second+7] = 3, 3 }, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			raw := recordedHeader(t, "data")
			tt.change(raw)
			device := newImage(append(raw, make([]byte, 8<<20)...))
			format, text, err := readHeader(device)
			if tt.want == nil {
				if failure.Of(errors.Join(err, nil)) != failure.Malformed {
					t.Errorf("got %s, error %v, want a malformed header", format, err)
				}
				return
			}
			if err != nil || format != LUKS2 || !bytes.HasPrefix(text, tt.want) {
				t.Errorf("got %s, %.12q, error %v, want %s, %q", format, text, err, LUKS2, tt.want)
			}
		})
	}
}

func TestReadHeaderReadsNoKeyMaterial(t *testing.T) {
	device := newImage(append(recordedHeader(t, "data"), make([]byte, 1<<20)...))
	if _, _, err := readHeader(device); err != nil {
		t.Fatal(err)
	}
	if got, want := device.furthest, int64(2*16384); got != want {
		t.Errorf("read up to byte %d, want %d: what follows is key material", got, want)
	}
}

func TestReadHeaderLUKS1(t *testing.T) {
	raw := make([]byte, 4096)
	copy(raw, "LUKS\xba\xbe\x00\x01")
	format, _, err := readHeader(newImage(raw))
	if format != LUKS1 || err != nil {
		t.Errorf("got %s, error %v, want %s", format, err, LUKS1)
	}
}

func TestReadHeaderOfTroubledDevice(t *testing.T) {
	if _, _, err := readHeader(troubled{}); failure.Of(err) != failure.Permission {
		t.Errorf("error: got %v, want the device's own", err)
	}
	if _, _, err := readHeader(newImage(recordedHeader(t, "data")[:100])); failure.Of(err) != failure.Malformed {
		t.Errorf("short device: got %v, want a malformed header", err)
	}
}

type troubled struct{}

func (troubled) ReadAt([]byte, int64) (int, error) { return 0, os.ErrPermission }

var _ io.ReaderAt = troubled{}

func FuzzReadHeader(f *testing.F) {
	for _, name := range []string{"data", "no-token", "no-pcrs", "sha1-rsa", "sss", "systemd-pcr7"} {
		f.Add(recordedHeader(f, name))
	}
	f.Fuzz(func(_ *testing.T, raw []byte) {
		if len(raw) >= 32768 { // let changed bytes through the checksum
			reseal(raw, 0, 7)
		}
		if _, text, err := readHeader(newImage(raw)); err == nil {
			if m, err := parseMetadata(text); err == nil {
				m.keyslots(m.keyholders())
			}
		}
	})
}

func FuzzMetadata(f *testing.F) {
	for _, name := range []string{"data", "sss", "systemd-pcr7"} {
		_, text, err := readHeader(newImage(recordedHeader(f, name)))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(_ *testing.T, text []byte) {
		m, err := parseMetadata(text)
		if err != nil {
			return
		}
		for _, holder := range m.binding(m.keyholders()) {
			bind(holder, tpm.Measured{})
		}
	})
}
