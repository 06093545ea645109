package systemd

import (
	"context"
	"fmt"
	"os"
	"strings"

	"funlab.casa/attestation_exporter/finding"
)

// Findings says which timers are asked for, and by which bus. It returns ErrAbsent
// as Read does.
func (r *Reader) Findings(context.Context) ([]finding.Finding, error) {
	address, from := r.address, finding.Flag
	if address == "" {
		var promised bool
		if address, promised = systemBusAddress(r.booted); !promised {
			return nil, ErrAbsent
		}
		from = finding.Default
		if os.Getenv(busVariable) != "" {
			from = busVariable
		}
	}
	sockets, err := socketPaths(address)
	if err != nil {
		return nil, fmt.Errorf("find the system bus: %w", err)
	}
	var found []finding.Finding
	for _, socket := range sockets {
		if strings.HasPrefix(socket, "@") { // No path: the abstract namespace has no files.
			found = append(found, finding.Named("bus", socket, from))
			continue
		}
		found = append(found, finding.At("bus", socket, from))
	}
	include := strings.TrimSuffix(strings.TrimPrefix(r.include.String(), "^(?:"), ")$")
	found = append(found, finding.Named("include", include, finding.Whether(include != DefaultInclude)))
	for _, name := range r.expected {
		found = append(found, finding.Named("expected", name, finding.Flag))
	}
	return found, nil
}
