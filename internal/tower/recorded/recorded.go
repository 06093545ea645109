// Package recorded reads recorded answers of other programs for tests.
package recorded

import (
	"encoding/hex"
	"fmt"
	"os"
	"testing"

	"go.yaml.in/yaml/v3"

	"funlab.casa/attestation_exporter/tpm"
)

// PCRs reads what tpm2_pcrread printed.
func PCRs(t testing.TB, path string) tpm.Values {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	values, err := parsePCRs(text)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return values
}

func parsePCRs(text []byte) (tpm.Values, error) {
	// The numbers are left as they are written: YAML would take 0x0019 for 25, and
	// a digest for a number too large to keep.
	var banks map[string]map[int]yaml.Node
	if err := yaml.Unmarshal(text, &banks); err != nil {
		return nil, err
	}
	values := tpm.Values{}
	for name, pcrs := range banks {
		bank, err := tpm.ParseBank(name)
		if err != nil {
			return nil, err
		}
		values[bank] = map[int]tpm.Digest{}
		for index, node := range pcrs {
			if len(node.Value) < 2 {
				return nil, fmt.Errorf("PCR %d: %q is no digest", index, node.Value)
			}
			if values[bank][index], err = hex.DecodeString(node.Value[2:]); err != nil {
				return nil, fmt.Errorf("PCR %d: %w", index, err)
			}
		}
	}
	return values, nil
}
