package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"funlab.casa/attestation_exporter/internal/tower/child"
	"funlab.casa/attestation_exporter/internal/tower/swtpm"
	"funlab.casa/attestation_exporter/tpm"
)

// What is wrong on the command line stops the program before it listens, with one
// line that says what would be right.
func TestRunRefuses(t *testing.T) {
	dir := t.TempDir()
	anyCertificate := filepath.Join(dir, "any.yml")
	certFile, keyFile := selfSigned(t, dir)
	writeFile(t, anyCertificate, "tls_server_config:\n  cert_file: "+certFile+"\n  key_file: "+keyFile+"\n  client_ca_file: "+certFile+"\n  client_auth_type: RequireAnyClientCert\n")
	broken := filepath.Join(dir, "broken.yml")
	writeFile(t, broken, "tls_server_confg: {}\n")

	tests := []struct {
		name string
		args []string
		want string
	}{
		{"unknown flag", []string{"--collector.tmp"}, "unknown long flag '--collector.tmp', try --help"},
		{"all interfaces", []string{"--web.listen-address=:0"}, "--web.listen-address=:0 isn't loopback: it needs client authentication"},
		{"any IPv4 address", []string{"--web.listen-address=0.0.0.0:0"}, "isn't loopback"},
		{"one of two addresses", []string{"--web.listen-address=127.0.0.1:0", "--web.listen-address=[::]:0"}, "--web.listen-address=[::]:0 isn't loopback"},
		{"virtual socket", []string{"--web.listen-address=vsock://:9100"}, "isn't loopback"},
		{"socket of systemd's", []string{"--web.systemd-socket"}, "--web.systemd-socket needs client authentication"},
		{"a client certificate of anybody's", []string{"--web.listen-address=:0", "--web.config.file=" + anyCertificate}, "isn't loopback"},
		{"no port", []string{"--web.listen-address=127.0.0.1"}, "missing port in address"},
		{"broken web configuration", []string{"--web.config.file=" + broken}, "--web.config.file=" + broken + ": yaml: unmarshal errors"},
		{"absent web configuration", []string{"--web.config.file=" + filepath.Join(dir, "absent.yml")}, "no such file or directory"},
		{"telemetry path", []string{"--web.telemetry-path=/"}, "--web.telemetry-path=\"/\" must begin with a slash and not be the landing page"},
		{"no time", []string{"--scrape.timeout=0s"}, "--scrape.timeout=0s must be positive, such as 10s"},
		{"negative offset", []string{"--scrape.timeout-offset=-1s"}, "--scrape.timeout-offset=-1s must not be negative, such as 500ms"},
		{"no collector", []string{"--collector.disable-defaults"}, "no collector is enabled"},
		{"PCR", []string{"--collector.tpm.pcrs=0-24"}, "--collector.tpm.pcrs: PCR \"24\""},
		{"bank", []string{"--collector.tpm.bank=md5"}, "--collector.tpm.bank: "},
		{"endpoint", []string{"--collector.certificate.endpoint=example.org"}, "--collector.certificate.endpoint: "},
		{"chain", []string{"--collector.certificate.chain=leaf.pem"}, "--collector.certificate.chain: "},
		{"pattern", []string{"--collector.certificate.file=/etc/["}, "--collector.certificate: "},
		{"bundle named twice", []string{"--collector.trust-bundle.file=a", "--collector.trust-bundle.file=a"}, "--collector.trust-bundle.file: "},
		{"regular expression", []string{"--collector.timer.include=("}, "--collector.timer: "},
		{"template", []string{"--collector.timer.expected=renew@.timer"}, "--collector.timer: "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			// A program that refuses never waits for this context; one that
			// doesn't ends here, without an error.
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			err := run(ctx, tt.args, io.Discard, io.Discard)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got error %v, want %q in it", err, tt.want)
			}
			if strings.Contains(tt.name, "broken") {
				return // The YAML library takes several lines.
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("got more than one line: %v", err)
			}
		})
	}
}

func TestRunServesAndStops(t *testing.T) {
	address := freeAddress(t)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	var log bytes.Buffer
	go func() {
		ended <- run(ctx, []string{
			"--web.listen-address=" + address, "--collector.disable-defaults", "--collector.trust-bundle",
			"--collector.trust-bundle.file=" + filepath.Join(t.TempDir(), "absent.pem"),
		}, io.Discard, &log)
	}()
	page := func(path string) string {
		t.Helper()
		status, body := eventually(t, "http://"+address+path)
		if status != http.StatusOK {
			t.Fatalf("%s: got %d, want 200:\n%s", path, status, body)
		}
		return body
	}
	for path, want := range map[string]string{
		"/-/healthy": "attestation_exporter is healthy.\n",
		"/-/ready":   "attestation_exporter is ready.\n",
		"/":          `<a href="/metrics">Metrics</a>`,
		"/metrics":   "attestation_exporter_build_info{",
	} {
		if got := page(path); !strings.Contains(got, want) {
			t.Errorf("%s: got\n%s\nwant %q in it", path, got, want)
		}
	}
	if got, want := page("/metrics"), `attestation_scrape_collector_success{collector="trust-bundle"} 1`; !strings.Contains(got, want+"\n") {
		t.Errorf("/metrics: got\n%s\nwant %q in it", got, want)
	}
	if got, want := page("/metrics"), `attestation_trust_bundle_load_failed`; !strings.Contains(got, want) {
		t.Errorf("/metrics: got\n%s\nwant %q in it", got, want)
	}
	if status, _ := eventually(t, "http://"+address+"/elsewhere"); status != http.StatusNotFound {
		t.Errorf("a page that isn't there: got %d, want 404", status)
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("after SIGTERM: got %v, want no error", err)
	}
	if !strings.Contains(log.String(), "msg=Stopping") {
		t.Errorf("log lacks the stop:\n%s", log.String())
	}
}

func TestRunAllowsEveryAddressWithAuthentication(t *testing.T) {
	dir := t.TempDir()
	basicAuth := filepath.Join(dir, "basic.yml")
	// The hash of "test", at the least cost.
	writeFile(t, basicAuth, "basic_auth_users:\n  prometheus: $2b$04$Vgu8pm6AkzQ8rcSPtYsHz.HDwI.yGqEOcIvg0Dbq7s4iwKe3JHPJe\n")
	for _, args := range [][]string{
		{"--web.config.file=" + basicAuth},
		{"--web.allow-anonymous"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		err := run(ctx, append(args, "--web.listen-address=:0"), io.Discard, io.Discard)
		cancel()
		if err != nil {
			t.Errorf("%v: got %v, want it to listen until told to stop", args, err)
		}
	}
}

func TestBaseline(t *testing.T) {
	chip, err := swtpm.Start(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = chip.Close() }()
	if err := chip.Extend(4, "kernel"); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := run(t.Context(), []string{"baseline", "--collector.tpm.device=" + chip.Socket}, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	baseline, err := tpm.ParseBaseline(out.Bytes())
	if err != nil {
		t.Fatalf("parse what was printed: %v\n%s", err, out.String())
	}
	if got, want := len(baseline.PCRs), 8; got != want {
		t.Errorf("PCRs in the baseline: got %d, want %d", got, want)
	}
	for _, pcr := range baseline.PCRs {
		zero := strings.Trim(pcr.Digest.String(), "0") == ""
		if want := pcr.Index != 4; zero != want {
			t.Errorf("PCR %d is %s; only 4 was extended", pcr.Index, pcr.Digest)
		}
	}
}

func TestBaselineWithoutTPM(t *testing.T) {
	var out bytes.Buffer
	err := run(t.Context(), []string{"baseline", "--collector.tpm.device=" + filepath.Join(t.TempDir(), "absent")}, &out, io.Discard)
	if err == nil || out.Len() > 0 {
		t.Errorf("got error %v and output %q, want an error and no output", err, out.String())
	}
}

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	address, err := child.FreeAddress(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// eventually asks until the server listens.
func eventually(t *testing.T, url string) (status int, body string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultTransport.RoundTrip(request)
		if err == nil {
			text, err := io.ReadAll(answer.Body)
			_ = answer.Body.Close()
			if err != nil {
				t.Fatal(err)
			}
			return answer.StatusCode, string(text)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s never answered: %v", url, err)
		}
	}
}

func selfSigned(t *testing.T, dir string) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writeFile(t, certFile, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	writeFile(t, keyFile, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})))
	return certFile, keyFile
}
