//go:build conformance

package guest

import (
	"encoding/pem"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestBrokenHost starts the packaged units once and lets the host break in one way
// after the other. From their first instruction to the end the kernel notes what the
// processes touch.
func TestBrokenHost(t *testing.T) {
	h := newHost(t)
	command(t, "systemctl", "stop", reader, exporter)
	touched := trace(t)
	h.start(t)
	t.Run("clock steps", h.clockSteps)
	t.Run("FUSE hangs the exporter", h.hungFUSE)
	t.Run("a device hangs the reader", h.hungDevice)
	t.Run("memory ends", h.memoryEnds)
	h.touchedOnlyWhatIsConfigured(t, touched())
}

// host is the machine, and what the exporter reads on it: a certificate and a bundle
// in a folder that stays well, an endpoint, and a certificate in a folder that hangs.
type host struct {
	certificate string // for a file system to hold as leaf.crt
	kept, hung  string // the folders
	endpoint    string // its address

	// well are series of what never hangs. The certificates in files hang together,
	// also the one that is kept.
	well, files []string
	// unreadable is the series of the file in hung that failed.
	unreadable string
	// processes are those that the units had, by number.
	processes map[int]string
}

func newHost(t *testing.T) *host {
	t.Helper()
	// What is below /tmp neither unit sees, and the exporter has no right.
	root, err := os.MkdirTemp("/srv", "broken")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	server := httptest.NewTLSServer(nil)
	t.Cleanup(server.Close)
	h := &host{
		certificate: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})),
		kept:        filepath.Join(root, "kept"),
		hung:        filepath.Join(root, "hung"),
		endpoint:    strings.TrimPrefix(server.URL, "https://"),
		processes:   map[int]string{},
	}
	for _, folder := range []string{root, h.kept, h.hung} {
		if err := errors.Join(os.MkdirAll(folder, 0o755), os.Chmod(folder, 0o755)); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{h.leaf(), h.bundle(), h.hungLeaf()} {
		writeFile(t, file, h.certificate)
	}
	h.well = []string{
		ends("endpoint", h.endpoint),
		fmt.Sprintf("attestation_trust_bundle_last_expiry_timestamp_seconds{bundle=%q,trust_domain=\"\"}", h.bundle()),
	}
	h.files = []string{ends("file", h.leaf()), ends("file", h.hungLeaf())}
	h.unreadable = fmt.Sprintf("attestation_certificate_load_failed{kind=\"file\",name=%q,reason=\"read_error\"}", h.hungLeaf())
	return h
}

func (h *host) leaf() string     { return filepath.Join(h.kept, "leaf.crt") }
func (h *host) bundle() string   { return filepath.Join(h.kept, "bundle.pem") }
func (h *host) hungLeaf() string { return filepath.Join(h.hung, "leaf.crt") }

func ends(kind, name string) string {
	return fmt.Sprintf("attestation_certificate_not_after_timestamp_seconds{kind=%q,name=%q}", kind, name)
}

// start gives both units their options and starts them. It returns when everything
// was read once.
func (h *host) start(t *testing.T) {
	t.Helper()
	const options = "/etc/default/attestation_exporter"
	installed, err := os.ReadFile(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { writeFile(t, options, string(installed)) })
	files := fmt.Sprintf("--collector.certificate.file=%s --collector.certificate.file=%s --collector.trust-bundle.file=%s",
		h.leaf(), h.hungLeaf(), h.bundle())
	endpoint := fmt.Sprintf("--collector.certificate.endpoint=%s@%s", h.endpoint, h.leaf())
	writeFile(t, options, fmt.Sprintf("EXPORTER_ARGS=\"%s %s\"\nREADER_ARGS=\"%s\"\n", files, endpoint, files))
	command(t, "systemctl", "start", exporter)
	eventually(t, startTime, func() error { return h.wellBut() })
	h.noteProcesses(t)
}

// wellBut is an error unless everything is there and just these collectors fail.
func (h *host) wellBut(failing ...string) error {
	p := scrape(startTime)
	return errors.Join(p.failed(failing...), p.has(h.well...), p.has(h.files...))
}

func (h *host) noteProcesses(t *testing.T) {
	t.Helper()
	for _, unit := range units() {
		h.processes[pid(t, unit)] = unit
	}
}
