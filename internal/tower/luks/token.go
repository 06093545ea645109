package luks

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"funlab.casa/attestation_exporter/tpm"
)

// A Token is what clevis writes into a header: a JWE (RFC 7516) of the keyslot's
// passphrase, with the key sealed by a TPM.
type Token struct {
	Protected, IV, Ciphertext, Tag string
}

// metadata returns the token as the header has it.
func (t Token) metadata(keyslot string) any {
	return map[string]any{
		"type": "clevis", "keyslots": []string{keyslot},
		"jwe": map[string]string{"protected": t.Protected, "encrypted_key": "", "iv": t.IV, "ciphertext": t.Ciphertext, "tag": t.Tag},
	}
}

// Bind seals a new key to the present values of PCRs, as clevis's tpm2 pin does.
// Without any PCR the key opens on every boot.
func Bind(chip transport.TPM, bank tpm.Bank, pcrs tpm.PCRSet) (Token, error) {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	jwk, err := json.Marshal(map[string]any{"alg": "A256GCM", "k": encode(key), "key_ops": []string{"encrypt", "decrypt"}, "kty": "oct"})
	if err != nil {
		return Token{}, err
	}
	public, private, err := seal(chip, bank, pcrs, jwk)
	if err != nil {
		return Token{}, fmt.Errorf("seal: %w", err)
	}
	pin := map[string]string{"hash": "sha256", "key": "ecc", "jwk_pub": encode(public), "jwk_priv": encode(private)}
	if pcrs != 0 {
		pin["pcr_bank"], pin["pcr_ids"] = bank.String(), pcrs.String()
	}
	protected, err := json.Marshal(map[string]any{
		"alg": "dir", "enc": "A256GCM", "clevis": map[string]any{"pin": "tpm2", "tpm2": pin},
	})
	if err != nil {
		return Token{}, err
	}
	return encrypt(key, encode(protected))
}

func encode(raw []byte) string { return base64.RawURLEncoding.EncodeToString(raw) }

// encrypt makes the JWE around a passphrase that nobody needs.
func encrypt(key []byte, protected string) (Token, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return Token{}, err
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return Token{}, err
	}
	iv := make([]byte, gcm.NonceSize())
	_, _ = rand.Read(iv) // never fails
	sealed := gcm.Seal(nil, iv, []byte("demo-passphrase"), []byte(protected))
	end := len(sealed) - gcm.Overhead()
	return Token{Protected: protected, IV: encode(iv), Ciphertext: encode(sealed[:end]), Tag: encode(sealed[end:])}, nil
}

// withPrimary gives the storage key that clevis makes anew each time, from the
// owner's seed.
func withPrimary(chip transport.TPM, use func(tpm2.NamedHandle) error) error {
	primary, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(tpm2.ECCSRKTemplate)}.Execute(chip)
	if err != nil {
		return err
	}
	err = use(tpm2.NamedHandle{Handle: primary.ObjectHandle, Name: primary.Name})
	return errors.Join(err, flush(chip, primary.ObjectHandle))
}

func flush(chip transport.TPM, handle tpm2.TPMHandle) error {
	_, err := tpm2.FlushContext{FlushHandle: handle}.Execute(chip)
	return err
}

// selection names PCRs for the TPM.
func selection(bank tpm.Bank, pcrs tpm.PCRSet) tpm2.TPMLPCRSelection {
	return tpm2.TPMLPCRSelection{PCRSelections: []tpm2.TPMSPCRSelection{{
		Hash: tpm2.TPMIAlgHash(bank), PCRSelect: []byte{byte(pcrs), byte(pcrs >> 8), byte(pcrs >> 16)},
	}}}
}

// Policy has the TPM compute the policy over the present values of PCRs, in a
// trial session.
func Policy(chip transport.TPM, bank tpm.Bank, pcrs tpm.PCRSet) ([]byte, error) {
	session, closeSession, err := tpm2.PolicySession(chip, tpm2.TPMAlgSHA256, 16, tpm2.Trial())
	if err != nil {
		return nil, err
	}
	if _, err := (tpm2.PolicyPCR{PolicySession: session.Handle(), Pcrs: selection(bank, pcrs)}).Execute(chip); err != nil {
		return nil, errors.Join(err, closeSession())
	}
	digest, err := tpm2.PolicyGetDigest{PolicySession: session.Handle()}.Execute(chip)
	if err != nil {
		return nil, errors.Join(err, closeSession())
	}
	return digest.PolicyDigest.Buffer, closeSession()
}

// seal returns TPM2B_PUBLIC and TPM2B_PRIVATE of an object that holds data.
func seal(chip transport.TPM, bank tpm.Bank, pcrs tpm.PCRSet, data []byte) (public, private []byte, err error) {
	area := tpm2.TPMTPublic{
		Type:    tpm2.TPMAlgKeyedHash,
		NameAlg: tpm2.TPMAlgSHA256,
		ObjectAttributes: tpm2.TPMAObject{
			FixedTPM: true, FixedParent: true, AdminWithPolicy: true, NoDA: true, UserWithAuth: pcrs == 0,
		},
	}
	if pcrs != 0 {
		if area.AuthPolicy.Buffer, err = Policy(chip, bank, pcrs); err != nil {
			return nil, nil, err
		}
	}
	err = withPrimary(chip, func(parent tpm2.NamedHandle) error {
		created, err := tpm2.Create{
			ParentHandle: parent,
			InSensitive: tpm2.TPM2BSensitiveCreate{Sensitive: &tpm2.TPMSSensitiveCreate{
				Data: tpm2.NewTPMUSensitiveCreate(&tpm2.TPM2BSensitiveData{Buffer: data}),
			}},
			InPublic: tpm2.New2B(area),
		}.Execute(chip)
		if err != nil {
			return err
		}
		public, private = tpm2.Marshal(created.OutPublic), tpm2.Marshal(created.OutPrivate)
		return nil
	})
	return public, private, err
}

// Open has the TPM unseal a token's key, as clevis does when the host boots.
func Open(chip transport.TPM, token Token) error {
	raw, err := base64.RawURLEncoding.DecodeString(token.Protected)
	if err != nil {
		return err
	}
	var header struct {
		Clevis struct {
			TPM2 struct {
				Public  string `json:"jwk_pub"`
				Private string `json:"jwk_priv"`
				Bank    string `json:"pcr_bank"`
				PCRs    string `json:"pcr_ids"`
			} `json:"tpm2"`
		} `json:"clevis"`
	}
	if err := json.Unmarshal(raw, &header); err != nil {
		return err
	}
	pin := header.Clevis.TPM2
	public, err1 := base64.RawURLEncoding.DecodeString(pin.Public)
	private, err2 := base64.RawURLEncoding.DecodeString(pin.Private)
	bank, err3 := tpm.ParseBank(pin.Bank)
	pcrs, err4 := tpm.ParsePCRs(pin.PCRs)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return err
	}
	publicArea, err1 := tpm2.Unmarshal[tpm2.TPM2BPublic](public)
	privateArea, err2 := tpm2.Unmarshal[tpm2.TPM2BPrivate](private)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	return withPrimary(chip, func(parent tpm2.NamedHandle) error {
		loaded, err := tpm2.Load{ParentHandle: parent, InPrivate: *privateArea, InPublic: *publicArea}.Execute(chip)
		if err != nil {
			return err
		}
		_, err = tpm2.Unseal{ItemHandle: tpm2.AuthHandle{
			Handle: loaded.ObjectHandle, Name: loaded.Name,
			Auth: tpm2.Policy(tpm2.TPMAlgSHA256, 16, func(chip transport.TPM, session tpm2.TPMISHPolicy, _ tpm2.TPM2BNonce) error {
				_, err := tpm2.PolicyPCR{PolicySession: session, Pcrs: selection(bank, pcrs)}.Execute(chip)
				return err
			}),
		}}.Execute(chip)
		return errors.Join(err, flush(chip, loaded.ObjectHandle))
	})
}
