package reader

import (
	"context"

	"funlab.casa/attestation_exporter/finding"
)

// Findings says where the reader is asked.
func (c Client) Findings(context.Context) ([]finding.Finding, error) {
	return []finding.Finding{finding.At("socket", c.Socket, finding.Whether(c.Socket != DefaultSocket))}, nil
}
