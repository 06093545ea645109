package luks

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"

	"github.com/google/go-tpm/tpm2"

	"funlab.casa/attestation_exporter/tpm"
)

// maxNesting bounds shared secrets within shared secrets.
const maxNesting = 4

// readClevis reads a clevis token: a JWE in JSON form (RFC 7516, section 7.2)
// whose protected header says how clevis gets the key. What can't be understood
// is an opaque pin, since clevis may be newer than this program.
func readClevis(raw []byte) pin {
	var token struct {
		JWE struct {
			Protected string `json:"protected"`
		} `json:"jwe"`
	}
	if json.Unmarshal(raw, &token) != nil {
		return pin{opaque: true}
	}
	return readProtected(token.JWE.Protected, maxNesting)
}

// clevisHeader is the part of the protected header that clevis adds.
type clevisHeader struct {
	Clevis struct {
		Pin  string `json:"pin"`
		TPM2 *struct {
			Public   string `json:"jwk_pub"` // TPM2B_PUBLIC of the sealed object
			Bank     string `json:"pcr_bank"`
			PCRs     string `json:"pcr_ids"`
			Key      any    `json:"policy_pubkey_path"` // a policy signed by this key's owner
			Policies any    `json:"policy_path"`
		} `json:"tpm2"`
		SSS *struct {
			Threshold int      `json:"t"`
			Pins      []string `json:"jwe"` // each a JWE in compact form
		} `json:"sss"`
	} `json:"clevis"`
}

func readProtected(encoded string, nesting int) pin {
	var header clevisHeader
	text, err := decodeBase64URL(encoded)
	if err != nil || nesting == 0 || json.Unmarshal(text, &header) != nil {
		return pin{opaque: true}
	}
	c := header.Clevis
	switch {
	case c.Pin == "tpm2" && c.TPM2 != nil && c.TPM2.Key == nil && c.TPM2.Policies == nil:
		object, err := readSealed(c.TPM2.Public, c.TPM2.Bank, c.TPM2.PCRs)
		if err != nil {
			return pin{opaque: true}
		}
		return pin{sealed: &object}
	case c.Pin == "sss" && c.SSS != nil && c.SSS.Threshold > 0 && len(c.SSS.Pins) > 0:
		shared := pin{threshold: c.SSS.Threshold}
		for _, compact := range c.SSS.Pins {
			protected, _, _ := strings.Cut(compact, ".")
			shared.pins = append(shared.pins, readProtected(protected, nesting-1))
		}
		return shared
	case c.Pin == "tpm2", c.Pin == "sss":
		return pin{opaque: true}
	}
	return pin{} // tang, pkcs11 and the like: no TPM
}

// readSealed reads what clevis keeps of a sealed object. Only its public area and
// the names of the PCRs are looked at: the private area, wrapped by the TPM,
// stays where it is.
func readSealed(public, bank, pcrs string) (sealed, error) {
	raw, err := decodeBase64URL(public)
	if err != nil {
		return sealed{}, err
	}
	area, err := tpm2.Unmarshal[tpm2.TPM2BPublic](raw)
	if err != nil {
		return sealed{}, err
	}
	contents, err := area.Contents()
	if err != nil {
		return sealed{}, err
	}
	object := sealed{session: tpm.Bank(contents.NameAlg), policy: contents.AuthPolicy.Buffer}
	switch {
	case pcrs == "" && contents.ObjectAttributes.UserWithAuth:
		object.policy = nil // its empty password opens it, whatever the policy
		return object, nil
	case pcrs == "":
		return sealed{}, errors.New("a policy over no PCR")
	}
	if object.pcrs, err = tpm.ParsePCRs(strings.ReplaceAll(pcrs, " ", "")); err != nil {
		return sealed{}, err
	}
	object.bank, err = tpm.ParseBank(bank)
	return object, err
}

func decodeBase64URL(text string) ([]byte, error) {
	return base64.RawURLEncoding.DecodeString(strings.TrimRight(text, "="))
}
