package keylime

import (
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"strings"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// DefaultUUID is the id in Keylime's shipped agent.conf. Two hosts that keep it are
// one agent to the verifier.
const DefaultUUID = "d432fbb3-d2f1-4a97-9ef7-75bd81c00000"

// hashEK is the word in agent.conf for an id that is made from the TPM's EK.
const hashEK = "hash_ek"

// configuredID returns the id that an agent takes from the uuid of its agent.conf.
// Words ask it to find one elsewhere; what isn't a UUID makes it invent one.
func configuredID(uuid string) (string, bool) {
	digits := strings.TrimPrefix(strings.ToLower(uuid), "urn:uuid:")
	digits = strings.TrimSuffix(strings.TrimPrefix(digits, "{"), "}")
	if len(digits) == 36 {
		for _, at := range []int{8, 13, 18, 23} {
			if digits[at] != '-' {
				return "", false
			}
		}
	}
	digits = strings.ReplaceAll(digits, "-", "")
	if _, err := hex.DecodeString(digits); err != nil || len(digits) != 32 {
		return "", false
	}
	return fmt.Sprintf("%s-%s-%s-%s-%s", digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]), true
}

// IDFromEK returns the id of an agent with the uuid "hash_ek": the SHA-256 of its
// public EK in PEM form, in hexadecimal (rust-keylime, hash_ek.rs).
func IDFromEK(ek crypto.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(ek)
	if err != nil {
		return "", fmt.Errorf("encode the public EK: %w", err)
	}
	digest := sha256.Sum256(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	return hex.EncodeToString(digest[:]), nil
}

// IDFromSPIFFE returns the agent's id in the SPIFFE ID of a SPIRE agent that was
// attested by Keylime: the last segment of spiffe://DOMAIN/spire/agent/keylime/ID.
func IDFromSPIFFE(id string) (string, bool) {
	parsed, err := spiffeid.FromString(id)
	if err != nil {
		return "", false
	}
	agent, found := strings.CutPrefix(parsed.Path(), "/spire/agent/keylime/")
	if !found || agent == "" || strings.Contains(agent, "/") {
		return "", false
	}
	return agent, true
}
