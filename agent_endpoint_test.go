package main

import (
	"crypto/tls"
	"strings"
	"testing"

	"funlab.casa/attestation_exporter/internal/tower/keylime"
)

// The agent's certificate has one series, whichever of two collectors shows it.
func TestAgentNamedAsEndpoint(t *testing.T) {
	certFile, keyFile := selfSigned(t, t.TempDir())
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	agent, err := keylime.StartAgent(t.Context(), keylime.AgentOptions{
		Address: "127.0.0.1:0", ID: "a", TLS: &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}},
	})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name     string
		args     []string
		verdicts int
	}{
		{"not named", []string{"--collector.certificate"}, 0},
		{"named", []string{"--collector.certificate", "--collector.certificate.endpoint=" + agent.Address + "@" + certFile}, 1},
		{"named where nobody looks", []string{"--collector.certificate.endpoint=" + agent.Address + "@" + certFile}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := serve(t, append(tt.args, "--collector.disable-defaults", "--collector.keylime-agent", "--collector.keylime-agent.address="+agent.Address)...)
			page := body(t, s.url+"/metrics")
			if got := strings.Count(page, `attestation_certificate_not_after_timestamp_seconds{kind="endpoint",name="`+agent.Address+`"}`); got != 1 {
				t.Errorf("certificates of the agent: got %d, want 1:\n%s", got, page)
			}
			if got := strings.Count(page, "\nattestation_certificate_chain_valid{"); got != tt.verdicts {
				t.Errorf("verdicts: got %d, want %d", got, tt.verdicts)
			}
			if strings.Contains(s.log.String(), "level=ERROR") {
				t.Errorf("log has an error:\n%s", s.log)
			}
		})
	}
}
