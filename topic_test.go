package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/version"

	"funlab.casa/attestation_exporter/collector"
	"funlab.casa/attestation_exporter/internal/tower/spire"
	"funlab.casa/attestation_exporter/reader"
)

// What the exporter shows by the reader is what it would show with the reader's
// rights and flags.
func TestReaderShowsTheSame(t *testing.T) {
	host := newSPIREHost(t)
	collectors := []string{
		"--collector.disable-defaults", "--collector.certificate", "--collector.trust-bundle", "--collector.keylime-agent",
		"--collector.spire-agent", "--collector.spire-plugins", "--collector.spire-server",
	}
	socket := filepath.Join(t.TempDir(), "reader.sock")
	want := exposition(t, append(append(collectors, host...), "--reader.socket="+socket)...)
	for _, series := range []string{
		"attestation_certificate_not_after_timestamp_seconds{", "attestation_keylime_local_agent_info{", "attestation_spire_agent_info{",
		"attestation_spire_plugin_pinned{", "attestation_spire_server_agent_info{", "attestation_trust_bundle_missing_authorities{",
	} {
		if !strings.Contains(want, "\n"+series) {
			t.Fatalf("direct reading: got\n%s\nwant %s in it", want, series)
		}
	}
	startReader(t, socket, append(collectors, host...)...)
	got := exposition(t, append(collectors, "--reader.socket="+socket)...)
	for _, line := range lacking(want, got) {
		t.Errorf("by the reader: got no %s", line)
	}
	for _, line := range lacking(got, want) {
		t.Errorf("by the reader: got %s, want no such series", line)
	}
}

// The reader's command line says what it reads, and the exporter can't widen it.
func TestReaderRefuses(t *testing.T) {
	host := newSPIREHost(t)
	socket := filepath.Join(t.TempDir(), "reader.sock")
	startReader(t, socket, append(host, "--collector.disable-defaults", "--collector.tpm")...)
	got := exposition(t, "--collector.disable-defaults", "--collector.reader", "--reader.socket="+socket)
	if want := `attestation_scrape_collector_success{collector="reader"} 1`; !strings.Contains(got, want+"\n") {
		t.Errorf("got\n%s\nwant %s in it", got, want)
	}
	for _, name := range []string{
		"boot", "luks", "keylime-agent", "certificate", "trust-bundle", "spire-agent", "spire-server", "spire-plugins",
	} {
		got := exposition(t, append(host, "--collector.disable-defaults", "--collector."+name, "--reader.socket="+socket)...)
		for _, want := range []string{
			fmt.Sprintf(`attestation_scrape_collector_success{collector=%q} 0`, name),
			fmt.Sprintf(`attestation_scrape_failures_total{collector=%q,reason="permission"} 1`, name),
		} {
			if !strings.Contains(got, want+"\n") {
				t.Errorf("got\n%s\nwant %s in it", got, want)
			}
		}
	}
}

// newSPIREHost puts up a host with SPIRE, Keylime's agent.conf and a certificate,
// and returns the flags that name its parts.
func newSPIREHost(t *testing.T) []string {
	t.Helper()
	dir := t.TempDir()
	domain, err := spire.NewDomain("a.example", 24*time.Hour, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	agent, err := spire.NewAgent(filepath.Join(dir, "agent"), domain, "/spire/agent/keylime/d432fbb3-d2f1-4a97-9ef7-75bd81c00000", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(agent.Close)
	server, err := spire.NewServer(filepath.Join(dir, "server.sock"), domain)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	server.SetAgent("/spire/agent/keylime/d432fbb3-d2f1-4a97-9ef7-75bd81c00000", "keylime", agent.NotAfter(), true)

	certificate, _ := selfSigned(t, dir)
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		writeFile(t, path, text)
		return path
	}
	t.Setenv("KEYLIME_AGENT_CONFIG", file("keylime.conf", "[agent]\nuuid = \"d432fbb3-d2f1-4a97-9ef7-75bd81c00000\"\nport = 1\n"))
	return []string{
		"--collector.certificate.file=" + certificate,
		"--collector.certificate.chain=" + certificate + ":" + certificate,
		"--collector.trust-bundle.file=" + file("bundle.pem", string(domain.PEM())),
		"--collector.spire-agent.config=" + file("agent.conf", fmt.Sprintf("agent {\n data_dir = %q\n socket_path = %q\n}\n"+
			"plugins { NodeAttestor \"keylime\" { plugin_cmd = \"/absent\" plugin_checksum = \"00\" } }\n",
			filepath.Join(dir, "agent"), filepath.Join(dir, "agent", "agent.sock"))),
		"--collector.spire-server.config=" + file("server.conf", fmt.Sprintf("server { socket_path = %q }\n", server.Path)),
		fmt.Sprintf("--collector.spire-agent.user=%d", os.Geteuid()),
		fmt.Sprintf("--collector.spire-server.user=%d", os.Geteuid()),
	}
}

func startReader(t *testing.T, socket string, flags ...string) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		args := append([]string{"reader", "--reader.socket=" + socket, fmt.Sprintf("--allow-user=%d", os.Geteuid())}, flags...)
		ended <- run(ctx, args, io.Discard, io.Discard)
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("reader: got %v, want no error", err)
		}
	})
	client := reader.Client{Socket: socket, Version: version.Version}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	// The socket is there a moment before anybody listens on it.
	for deadline := time.After(10 * time.Second); ; {
		err := client.Greet(t.Context())
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("the reader never answered: %v", err)
		}
	}
}

// scrape runs the exporter for one scrape.
func scrape(t *testing.T, flags ...string) string {
	t.Helper()
	address := freeAddress(t)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, append(flags, "--web.listen-address="+address), io.Discard, io.Discard) }()
	_, body := eventually(t, "http://"+address+"/metrics")
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	return body
}

// exposition is what a scrape says of the host, without what is of the scrape, or of
// the stand-in: its SPIRE server has a new SVID for whoever asks.
func exposition(t *testing.T, flags ...string) string {
	t.Helper()
	own := regexp.MustCompile(`^attestation_(exporter_|scrape_collector_duration_|certificate_first_seen_|certificate_not_after_timestamp_seconds\{kind="svid")`)
	var lines []string
	for line := range strings.Lines(scrape(t, flags...)) {
		if strings.HasPrefix(line, "attestation_") && !own.MatchString(line) {
			lines = append(lines, line)
		}
	}
	return "\n" + strings.Join(lines, "")
}

// lacking are the lines of a text that another one lacks.
func lacking(text, other string) []string {
	return slices.DeleteFunc(strings.Split(text, "\n"), func(line string) bool { return strings.Contains(other, "\n"+line+"\n") || line == "" })
}

// FuzzAnswer gives every collector whatever a reader could answer.
func FuzzAnswer(f *testing.F) {
	for _, reading := range []string{
		`{"Loads":[{"Kind":"file","Name":"a","Certificate":{"NotAfter":"2026-11-24T10:00:00Z"},"Failed":"x"}],"Verdicts":[{}]}`,
		`{"At":"2026-11-24T10:00:00Z","Bundles":[{"Name":"b","Authorities":[{"Key":"k","NotAfter":"2026-11-24T10:00:00Z"}]}]}`,
		`[{"TrustDomain":"a","Authorities":[{"Tainted":true}]}]`, `[{"Plugin":"p","Matches":true}]`,
		`{"Up":true,"Identity":{"ID":"spiffe://a"},"SVID":{},"WorkloadAPI":-1}`,
		`{"Agents":[{"ID":"i"},{"ID":"i"}],"Counts":[{}],"Entries":1,"Authorities":[{}],"Bundle":{"TrustDomain":"a"},"SVID":{}}`,
		`{"UUID":"hash_ek","Address":"127.0.0.1:1","TLS":true}`, `{"URL":{"Scheme":"https","Host":"h"}}`,
		`{"PCRs":[{"Bank":"sha256","Digest":"AA=="}],"Properties":{},"EKCertificates":[{}],"Baseline":{}}`,
		`{"Log":{"Matches":[{}]},"Files":[{}],"IMA":{}}`, `{"Devices":[{"Bindings":[{"StandsOn":[{}]}],"Keyslots":{}}]}`, `null`,
		`[{"What":"socket","Place":"/s","From":"flag","State":"there","Reader":true},{}]`,
	} {
		f.Add([]byte(reading))
	}
	var answer atomic.Pointer[[]byte]
	client := reader.Client{Socket: answering(f, func() []byte { return *answer.Load() }), Version: "1"}
	// There is no such authority, so that no server is asked.
	identity := filepath.Join(f.TempDir(), "http.yml")
	if err := os.WriteFile(identity, []byte("tls_config:\n  ca_file: absent.pem\n"), 0o600); err != nil {
		f.Fatal(err)
	}
	app := kingpin.New(name, "")
	choices := addCollectors(app)
	if _, err := app.Parse([]string{
		"--no-collector.timer", "--collector.spire-server", "--collector.keylime-agent.address=127.0.0.1:1",
		"--collector.keylime-verifier.http-config=" + identity, "--collector.keylime-registrar.http-config=" + identity,
	}); err != nil {
		f.Fatal(err)
	}
	enabled, err := choices.build(slog.New(slog.DiscardHandler))
	if err != nil {
		f.Fatal(err)
	}
	collectors, err := collectorsOf(enabled, client)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, reading []byte) {
		whole := fmt.Appendf(nil, `{"version":"1","reading":%s}`, reading)
		answer.Store(&whole)
		for _, c := range collectors {
			update(t, c)
		}
		_ = printFound(io.Discard, choices.found(t.Context(), enabled, client)) // only a panic would be wrong
	})
}

// update runs a collector outside of the Set, which would survive a panic.
func update(t *testing.T, c collector.Collector) {
	ch := make(chan prometheus.Metric)
	go func() {
		defer close(ch)
		_ = c.Update(t.Context(), ch) // an error is as good as a reading
	}()
	for metric := range ch {
		_ = metric.Desc() // nobody looks at them: a panic is what this is about
	}
}

// answering is a reader that gives everybody the same answer.
func answering(f *testing.F, answer func() []byte) string {
	path := filepath.Join(f.TempDir(), "reader.sock")
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			if _, err := bufio.NewReader(conn).ReadString('\n'); err == nil {
				_, _ = conn.Write(answer()) // the client may hang up first
			}
			_ = conn.Close()
		}
	}()
	return path
}
