package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// A certificate is read because Keylime's configuration names it, by whoever reads
// certificates, and isn't where the user says so.
func TestCertificatesNamedByKeylime(t *testing.T) {
	dir := t.TempDir()
	certificate, _ := selfSigned(t, dir)
	config := filepath.Join(dir, "agent.conf")
	writeFile(t, config, fmt.Sprintf("[agent]\nserver_cert = %q\n", certificate))
	t.Setenv("KEYLIME_AGENT_CONFIG", config)
	socket := filepath.Join(dir, "reader.sock")
	flags := []string{"--collector.disable-defaults", "--collector.certificate", "--reader.socket=" + socket}
	shown := func(flags ...string) bool {
		return strings.Contains(exposition(t, flags...), fmt.Sprintf("attestation_certificate_not_after_timestamp_seconds{kind=\"file\",name=%q}", certificate))
	}
	if !shown(flags...) {
		t.Error("direct: got no series of the certificate")
	}
	if shown(append(flags, "--no-collector.certificate.named")...) {
		t.Error("switched off: got a series of the certificate")
	}
	startReader(t, socket, "--collector.disable-defaults", "--collector.certificate")
	if !shown(append(flags, "--no-collector.certificate.named")...) {
		t.Error("by the reader, whose flags decide: got no series of the certificate")
	}
}
