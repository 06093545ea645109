package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"funlab.casa/attestation_exporter/finding"
	"funlab.casa/attestation_exporter/reader"
)

var updateGolden = flag.Bool("update", false, "write golden files instead of comparing with them")

// foundHost is a host of which most was found, and the flags for the rest. What
// stands in dir is the same on every machine.
func foundHost(t *testing.T) (flags []string, dir string) {
	t.Helper()
	flags = newSPIREHost(t)
	certificate, _ := strings.CutPrefix(flags[0], "--collector.certificate.file=")
	dir = filepath.Dir(certificate)
	verifier := filepath.Join(dir, "verifier.conf")
	writeFile(t, verifier, "[verifier]\nuuid = a\nip = 192.0.2.1\nport = 8881\ndatabase_password = "+canary+"\n"+
		"tls_dir = "+dir+"\nserver_cert = cert.pem\nclient_cert = client.pem\ntrusted_client_ca = all\ntrusted_server_ca = all\n")
	t.Setenv("KEYLIME_DIR", dir)
	t.Setenv("KEYLIME_VERIFIER_CONFIG", verifier)
	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path="+filepath.Join(dir, "bus"))
	header, err := filepath.Abs("testdata/luks/data.header.bin")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(header, filepath.Join(dir, "disk")); err != nil {
		t.Fatal(err)
	}
	none := filepath.Join(dir, "none")
	return append(flags,
		"--collector.spire-server", "--no-collector.keylime-registrar",
		"--collector.tpm.device="+none, "--collector.tpm.baseline="+none, "--collector.boot.event-log="+none,
		"--no-collector.boot", "--collector.luks.device="+filepath.Join(dir, "disk"),
		"--collector.certificate.endpoint=ca.example:443", "--collector.certificate.file="+filepath.Join(dir, "*.none"),
		"--collector.keylime-agent.address=192.0.2.2:9002",
		"--collector.trust-bundle.endpoint=a.example,https://a.example/bundle?token="+canary,
		"--collector.timer.expected=renew.timer",
	), dir
}

// configuration is what the command prints, with dir and what else differs from one
// machine to the next replaced.
func configuration(t *testing.T, dir string, flags ...string) string {
	t.Helper()
	var out bytes.Buffer
	if err := run(t.Context(), append([]string{"status", "--configuration"}, flags...), &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(out.String(), dir, "DIR")
	text = regexp.MustCompile(`(user +)\d+`).ReplaceAllString(text, "${1}UID")
	return regexp.MustCompile(` {2,}`).ReplaceAllString(text, "  ")
}

func TestConfiguration(t *testing.T) {
	flags, dir := foundHost(t)
	socket := "--reader.socket=" + filepath.Join(dir, "reader.sock")
	direct := configuration(t, dir, append(flags, socket)...)
	golden(t, "direct.txt", direct)
	startReader(t, filepath.Join(dir, "reader.sock"), flags...)
	golden(t, "reader.txt", configuration(t, dir, append(flags, socket)...))
	if strings.Contains(direct, canary) {
		t.Errorf("got\n%s\nwant no secret in it", direct)
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata/found", name)
	if *updateGolden {
		writeFile(t, path, got)
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", path, got, want)
	}
}

func TestConfigurationComesFirst(t *testing.T) {
	var out bytes.Buffer
	err := run(t.Context(), []string{"status", "--all", "--configuration"}, &out, io.Discard)
	if want := "ATTESTATION UNKNOWN: --configuration must be the first word after status\n"; err == nil || out.String() != want {
		t.Errorf("got %v and %q, want an error and %q", err, out.String(), want)
	}
}

// The start tells one line a collector, and a scrape none.
func TestFoundIsLoggedOnce(t *testing.T) {
	flags, dir := foundHost(t)
	address := freeAddress(t)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	var log bytes.Buffer
	go func() { ended <- run(ctx, append(flags, "--web.listen-address="+address), io.Discard, &log) }()
	for range 2 {
		eventually(t, "http://"+address+"/metrics")
	}
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`msg=Found collector=([a-z-]+)`).FindAllStringSubmatch(log.String(), -1)
	var got []string
	for _, match := range found {
		got = append(got, match[1])
	}
	want := []string{
		"tpm", "luks", "keylime-verifier", "keylime-agent", "certificate", "spire-agent", "spire-server", "spire-plugins",
		"trust-bundle", "reader", "timer",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got lines of %q, want one each of %q", got, want)
	}
	line := fmt.Sprintf(`socket="%s/agent/agent.sock (%s/agent.conf, there)"`, dir, dir)
	if !strings.Contains(log.String(), line) {
		t.Errorf("got\n%s\nwant %s in it", &log, line)
	}
}

// A file system that hangs costs the others nothing, and the search has an end.
func TestFoundWaitsNoLongerThanItMust(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		forever := make(chan struct{})
		defer close(forever)
		hangs := func(context.Context) ([]finding.Finding, error) { <-forever; return nil, nil }
		panics := func(context.Context) ([]finding.Finding, error) { panic("a bug") }
		answers := func(context.Context) ([]finding.Finding, error) {
			return make([]finding.Finding, maxFound+1), nil
		}
		choices := &choices{}
		enabled := map[string]parts{}
		for name, does := range map[string]look{"hangs": hangs, "panics": panics, "answers": answers} {
			choices.all = append(choices.all, &choice{name: name})
			enabled[name] = parts{found: func(reader.Client) look { return does }}
		}
		begin := time.Now()
		lists := choices.found(t.Context(), enabled, reader.Client{})
		if took := time.Since(begin); took != foundPatience {
			t.Errorf("took %v, want %v", took, foundPatience)
		}
		for _, list := range lists {
			if list.err == nil {
				t.Errorf("%s: got no error", list.collector)
			}
			if list.collector == "answers" && len(list.found) != 1 {
				t.Errorf("got %d places, want those that are the same once", len(list.found))
			}
		}
	})
}

// One long place doesn't widen the table for all.
func TestPrintFoundIsNarrow(t *testing.T) {
	long := strings.Repeat("x", maxColumn+1)
	list := foundList{collector: "timer", found: []finding.Finding{{What: "include", Place: long, From: "default"}, {What: "bus", Place: "/run/büs", From: "default", State: finding.There, Reader: true}}}
	var out bytes.Buffer
	if err := printFound(&out, []foundList{list}); err != nil {
		t.Fatal(err)
	}
	want := "COLLECTOR  WHAT     PLACE     FROM     STATE  FOUND BY\n" +
		"timer      include  " + long + "  default  -      exporter\n" +
		"timer      bus      /run/büs  default  there  reader\n"
	if got := out.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestPrintFoundObeysNobody(t *testing.T) {
	list := foundList{collector: "tpm", found: []finding.Finding{{What: "device", Place: "/dev/\x1b[2J", From: "a\nb"}}, err: fmt.Errorf("one\ntwo\x07")}
	var out bytes.Buffer
	if err := printFound(&out, []foundList{list}); err != nil {
		t.Fatal(err)
	}
	want := "COLLECTOR  WHAT    PLACE           FROM    STATE  FOUND BY\n" +
		`tpm        device  "/dev/\x1b[2J"  "a\nb"  -      exporter` + "\n" +
		`tpm: "one; two\a"` + "\n"
	if got := out.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
