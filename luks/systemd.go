package luks

import (
	"encoding/hex"
	"encoding/json"

	"funlab.casa/attestation_exporter/tpm"
)

// systemdToken is the part of systemd-cryptenroll's token that says under which
// policy the TPM opens it. Names with an underscore came with later versions than
// those with a hyphen.
type systemdToken struct {
	PCRs       []int           `json:"tpm2-pcrs"`
	Bank       string          `json:"tpm2-pcr-bank"`
	Policy     json.RawMessage `json:"tpm2-policy-hash"` // a string; a list where the key is sealed in shards
	PIN        bool            `json:"tpm2-pin"`
	PublicKey  json.RawMessage `json:"tpm2_pubkey"`      // policies are signed by this key
	SignedPCRs []int           `json:"tpm2_pubkey_pcrs"` //
	PCRLock    bool            `json:"tpm2_pcrlock"`     // the policy is in NV memory, and rewritten by systemd-pcrlock
}

// readSystemd reads a systemd-tpm2 token. Where a PIN is asked for, or a policy
// is signed or kept in the TPM, the PCRs of this boot don't decide.
func readSystemd(raw []byte) pin {
	var token systemdToken
	if json.Unmarshal(raw, &token) != nil {
		return pin{opaque: true}
	}
	signed := len(token.SignedPCRs) > 0 || (len(token.PublicKey) > 0 && string(token.PublicKey) != "null")
	if token.PIN || signed || token.PCRLock {
		return pin{opaque: true}
	}
	if len(token.PCRs) == 0 {
		return pin{sealed: &sealed{}} // opens on any boot of this TPM
	}
	object := sealed{session: tpm.SHA256, bank: tpm.SHA256, pcrs: tpm.NewPCRSet(token.PCRs...)}
	if object.pcrs.Len() != len(token.PCRs) {
		return pin{opaque: true}
	}
	var err error
	if token.Bank != "" {
		if object.bank, err = tpm.ParseBank(token.Bank); err != nil {
			return pin{opaque: true}
		}
	}
	var text string
	if json.Unmarshal(token.Policy, &text) != nil {
		return pin{opaque: true}
	}
	if object.policy, err = hex.DecodeString(text); err != nil || len(object.policy) == 0 {
		return pin{opaque: true}
	}
	return pin{sealed: &object}
}
