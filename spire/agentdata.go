package spire

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"

	"funlab.casa/attestation_exporter/failure"
)

const (
	agentDataFile = "agent-data.json"
	// maxAgentData has room for a bundle of 10,000 authorities, twice in base64.
	maxAgentData = 32 << 20
)

// agentData is what the agent keeps for its next start: its certificates, without
// their key, and the authorities that it trusted last.
//
// The agent writes it anew, by rename, when its own SVID is renewed or its bundle
// changes. It stays when the agent is down; a ban takes the SVID out of it.
type agentData struct {
	// chain is the agent's own SVID, leaf first; empty after a ban.
	chain []*x509.Certificate
	// bundle is PEM text.
	bundle []byte
}

// parseAgentData parses agent-data.json. Certificates of the chain behind one that
// doesn't parse are lost, those before it are kept beside the error.
func parseAgentData(r io.Reader) (agentData, error) {
	text, err := io.ReadAll(r)
	if err != nil {
		return agentData{}, err
	}
	var file struct {
		SVID   []string `json:"svid"`
		Bundle []string `json:"bundle"`
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return agentData{}, failure.Errorf(failure.Malformed, "parse: %w", err)
	}
	var data agentData
	svid, svidErr := joinPEM(file.SVID)
	if svidErr == nil {
		data.chain, svidErr = parsePEMChain(svid)
	}
	bundle, bundleErr := joinPEM(file.Bundle)
	data.bundle = bundle
	if err := errors.Join(prefix("svid", svidErr), prefix("bundle", bundleErr)); err != nil {
		return data, failure.Wrap(failure.Malformed, err)
	}
	return data, nil
}

func prefix(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("parse %s: %w", what, err)
}

// joinPEM undoes the outer base64 of each certificate: the file has PEM in base64.
func joinPEM(items []string) ([]byte, error) {
	var joined bytes.Buffer
	for i, item := range items {
		text, err := base64.StdEncoding.DecodeString(item)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", i, err)
		}
		joined.Write(text)
		joined.WriteByte('\n')
	}
	return joined.Bytes(), nil
}

func parsePEMChain(text []byte) ([]*x509.Certificate, error) {
	var chain []*x509.Certificate
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return chain, failure.Errorf(failure.Malformed, "certificate %d: %w", len(chain), err)
		}
		chain = append(chain, certificate)
	}
	if len(chain) == 0 && len(bytes.TrimSpace(text)) > 0 {
		return nil, failure.Errorf(failure.Malformed, "no certificate in it")
	}
	return chain, nil
}
