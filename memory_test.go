package main

import (
	"fmt"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"funlab.casa/attestation_exporter/internal/tower/keylime"
)

// TestMemoryLimit reads a verifier with 2,000 agents under a GOMEMLIMIT that is
// passed before anything is read. The garbage collector then takes up to half of the
// processor, so a reading may outlast the first scrapes, and all are served.
func TestMemoryLimit(t *testing.T) {
	const agents = 2_000
	host := newHostileHost(t)
	for i := range agents {
		host.verifier.Add(keylime.Agent{ID: fmt.Sprintf("%036d", i), IP: "192.0.2.1", Port: 9002, Conduct: keylime.Attests})
	}
	s := serve(t, host.args...)
	limit := debug.SetMemoryLimit(1 << 20)
	t.Cleanup(func() { debug.SetMemoryLimit(limit) })
	shown := func() int {
		return strings.Count(body(t, s.url+"/metrics"), "\nattestation_keylime_agent_info{")
	}
	for deadline := time.Now().Add(30 * time.Second); shown() != agents; {
		if time.Now().After(deadline) {
			t.Fatalf("the verifier's agents never came:\n%s", s.log)
		}
	}
	if page := body(t, s.url+"/metrics"); !strings.Contains(page, `attestation_scrape_collector_success{collector="tpm"} 1`) {
		t.Errorf("the TPM isn't read beside 2,000 agents:\n%s", s.log)
	}
}
