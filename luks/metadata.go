package luks

import (
	"encoding/json"
	"slices"
	"strconv"

	"funlab.casa/attestation_exporter/failure"
)

// maxObjects is how many keyslots, and how many tokens, a header may have
// (LUKS2 On-Disk Format Specification, sections 3.1 and 3.5).
const maxObjects = 32

// metadata is the part of a header's JSON that is looked at. Of the rest, key
// derivation and salts, nothing is kept.
type metadata struct {
	Keyslots map[string]struct {
		Type string `json:"type"`
	} `json:"keyslots"`
	Tokens  map[string]json.RawMessage `json:"tokens"`
	Digests map[string]struct {
		Keyslots []string `json:"keyslots"`
		Segments []string `json:"segments"`
	} `json:"digests"`
}

// A token is what each kind of token has (section 3.5).
type token struct {
	Type     string   `json:"type"`
	Keyslots []string `json:"keyslots"`
}

func parseMetadata(text []byte) (metadata, error) {
	var m metadata
	if err := json.Unmarshal(text, &m); err != nil {
		// The error of the library may quote what it read.
		return metadata{}, failure.Errorf(failure.Malformed, "header's JSON can't be parsed")
	}
	if len(m.Keyslots) > maxObjects || len(m.Tokens) > maxObjects || len(m.Digests) > maxObjects {
		return metadata{}, failure.Errorf(failure.Malformed, "header's JSON has more than %d keyslots, tokens or digests", maxObjects)
	}
	return m, nil
}

// waysIn returns the keyslots that open the data: those whose key is the key of a
// segment (section 3.4). An unbound keyslot, or one that holds the state of a
// re-encryption, opens nothing.
func (m metadata) waysIn() []string {
	var slots []string
	for _, digest := range m.Digests {
		if len(digest.Segments) == 0 {
			continue
		}
		for _, slot := range digest.Keyslots {
			if m.Keyslots[slot].Type == "luks2" && !slices.Contains(slots, slot) {
				slots = append(slots, slot)
			}
		}
	}
	return slots
}

// A keyholder is a token with the pin that opens its keyslots.
type keyholder struct {
	token    string
	kind     Type
	keyslots []string
	pin      pin
}

// keyholders returns the tokens that ask a TPM, in the order of their numbers.
func (m metadata) keyholders() []keyholder {
	var holders []keyholder
	for number := range maxObjects {
		id := strconv.Itoa(number)
		var t token
		if raw, ok := m.Tokens[id]; !ok || json.Unmarshal(raw, &t) != nil {
			continue
		}
		if p, kind, ok := readToken(t.Type, m.Tokens[id]); ok && p.involvesTPM() {
			holders = append(holders, keyholder{id, kind, t.Keyslots, p})
		}
	}
	return holders
}

// keyslots counts the ways in. Those of a TPM are those that can't be had
// without one.
func (m metadata) keyslots(holders []keyholder) Keyslots {
	onTPM := map[string]bool{}
	for _, holder := range holders {
		if holder.pin.needsTPM() {
			for _, slot := range holder.keyslots {
				onTPM[slot] = true
			}
		}
	}
	var count Keyslots
	for _, slot := range m.waysIn() {
		if onTPM[slot] {
			count.TPM++
		} else {
			count.Other++
		}
	}
	return count
}

// binding returns the holders that open something. A token that was left over
// when its keyslot was killed binds nothing.
func (m metadata) binding(holders []keyholder) []keyholder {
	waysIn := m.waysIn()
	return slices.DeleteFunc(slices.Clone(holders), func(holder keyholder) bool {
		return !slices.ContainsFunc(holder.keyslots, func(slot string) bool { return slices.Contains(waysIn, slot) })
	})
}

// readToken reads a token of a kind that may stand on a TPM.
func readToken(kind string, raw []byte) (pin, Type, bool) {
	switch kind {
	case "clevis":
		return readClevis(raw), Clevis, true
	case "systemd-tpm2":
		return readSystemd(raw), Systemd, true
	}
	return pin{}, "", false
}
