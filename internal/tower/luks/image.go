// Package luks makes LUKS2 headers with bindings to a TPM, for tests and the demo.
//
// The headers are whole, and the TPM holds what opens their tokens; but there is
// no data behind them, and no keyslot has a key in it.
package luks

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"strconv"
)

// The layout of the image (LUKS2 On-Disk Format Specification 1.1.1, section 2).
const (
	copySize     = 16 << 10
	binarySize   = 4 << 10
	keyslotSize  = 258048
	keyslotsFrom = 2 * copySize
	dataFrom     = 16 << 20
)

// Image makes both copies of a header with a keyslot for a passphrase, if there is
// to be one, and a keyslot for each token.
func Image(passphrase bool, tokens ...Token) ([]byte, error) {
	keyslots, bound := map[string]any{}, map[string]any{}
	var names []string
	add := func() string {
		name := strconv.Itoa(len(names))
		keyslots[name] = keyslot(len(names))
		names = append(names, name)
		return name
	}
	if passphrase {
		add()
	}
	for i, token := range tokens {
		bound[strconv.Itoa(i)] = token.metadata(add())
	}
	text, err := json.Marshal(map[string]any{
		"keyslots": keyslots,
		"tokens":   bound,
		"segments": map[string]any{"0": map[string]any{
			"type": "crypt", "offset": strconv.Itoa(dataFrom), "size": "dynamic",
			"iv_tweak": "0", "encryption": "aes-xts-plain64", "sector_size": 4096,
		}},
		"digests": map[string]any{"0": map[string]any{
			"type": "pbkdf2", "keyslots": names, "segments": []string{"0"},
			"hash": "sha256", "iterations": 1000, "salt": random(32), "digest": random(32),
		}},
		"config": map[string]any{
			"json_size": strconv.Itoa(copySize - binarySize), "keyslots_size": strconv.Itoa(dataFrom - keyslotsFrom),
		},
	})
	if err != nil {
		return nil, err
	}
	return append(header("LUKS\xba\xbe", 0, text), header("SKUL\xba\xbe", copySize, text)...), nil
}

// header makes one copy.
func header(magic string, at uint64, text []byte) []byte {
	raw := make([]byte, copySize)
	copy(raw, magic)
	binary.BigEndian.PutUint16(raw[6:], 2)
	binary.BigEndian.PutUint64(raw[8:], copySize)
	binary.BigEndian.PutUint64(raw[16:], 3) // sequence id
	copy(raw[72:], "sha256")
	_, _ = rand.Read(raw[104:168]) // salt; never fails
	copy(raw[168:], "6c61622d-0000-4000-8000-6c756b730002")
	binary.BigEndian.PutUint64(raw[256:], at)
	copy(raw[binarySize:], text)
	sum := sha256.Sum256(raw)
	copy(raw[448:], sum[:])
	return raw
}

func keyslot(number int) any {
	return map[string]any{
		"type": "luks2", "key_size": 64,
		"af":   map[string]any{"type": "luks1", "stripes": 4000, "hash": "sha256"},
		"area": map[string]any{"type": "raw", "offset": strconv.Itoa(keyslotsFrom + number*keyslotSize), "size": strconv.Itoa(keyslotSize), "encryption": "aes-xts-plain64", "key_size": 64},
		"kdf":  map[string]any{"type": "pbkdf2", "hash": "sha256", "iterations": 1000, "salt": random(32)},
	}
}

func random(size int) string {
	raw := make([]byte, size)
	_, _ = rand.Read(raw) // never fails
	return base64.StdEncoding.EncodeToString(raw)
}
