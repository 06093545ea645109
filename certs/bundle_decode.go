package certs

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
)

// A parsedBundle is what a file held, and why nothing in it can be judged.
type parsedBundle struct {
	bundle Bundle
	err    error
}

// decodeBundle finds the X.509 authorities of a trust bundle in PEM or in SPIFFE's
// JSON.
func decodeBundle(data []byte) parsedBundle {
	var d document
	if bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")) {
		d = decodeJWKS(data)
	} else {
		d = decode(data)
	}
	parsed := parsedBundle{bundle: bundleOf(d)}
	if len(d.certificates) == 0 {
		parsed.err = d.err()
	}
	return parsed
}

// decodeJWKS reads a SPIFFE bundle document (SPIFFE Trust Domain and Bundle,
// section 4). go-spiffe's parser isn't used, since it refuses a whole document for
// one bad key, a JWT key's included: whoever asks how many authorities are left
// needs to hear of the others.
func decodeJWKS(data []byte) document {
	var d document
	var jwks struct {
		Keys *[]json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(data, &jwks); err != nil {
		d.reject(fmt.Errorf("no JSON document: %w", err))
		return d
	}
	if jwks.Keys == nil {
		d.reject(errors.New("document has no keys (section 4.1.3)"))
		return d
	}
	for i, raw := range *jwks.Keys {
		if err := d.addKey(raw); err != nil {
			d.reject(fmt.Errorf("key %d: %w", i, err))
		}
	}
	return d
}

// addKey adds the certificate of a key that is an X.509 authority. Keys for other
// uses are no authorities, and unknown uses are to be ignored (section 4.2.2).
func (d *document) addKey(raw json.RawMessage) error {
	var use struct {
		Use string `json:"use"`
	}
	if err := json.Unmarshal(raw, &use); err != nil {
		return err
	}
	if use.Use != "x509-svid" {
		return nil
	}
	var key struct {
		Certificates []string `json:"x5c"`
	}
	if err := json.Unmarshal(raw, &key); err != nil {
		return err
	}
	// X509-SVID, section 6.1: the one certificate is the authority.
	if len(key.Certificates) != 1 {
		return fmt.Errorf("%d certificates, want one", len(key.Certificates))
	}
	der, err := base64.StdEncoding.DecodeString(key.Certificates[0])
	if err != nil {
		return err
	}
	d.add(der)
	return nil
}
