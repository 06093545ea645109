package main

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"funlab.casa/attestation_exporter/internal/tower/keylime"
)

// canary stands where secrets do: in Keylime's agents, its configuration, the client
// key and its path. What binds a disk has secrets of its own.
const canary = "CANARY-4f1d"

// TestSecretsStayIn reads a host full of secrets, in health and in trouble, with the
// log at its most talkative. None is in a page or in the log.
func TestSecretsStayIn(t *testing.T) {
	host := newHostileHost(t)
	header := "testdata/luks/data.header.bin"
	secrets := append(jweParts(t, header), canary)
	host.verifier.Add(keylime.Agent{ID: "a", IP: "127.0.0.1", Port: 9002, Conduct: keylime.Attests, V: canary})
	s := serve(t, append(host.args, "--collector.luks.device="+header)...)
	var pages strings.Builder
	for _, c := range []conduct{nil, half, hangUp, nil} {
		host.behave(c)
		pages.WriteString(body(t, s.url+"/metrics"))
	}
	for _, fault := range []keylime.Fault{keylime.WrongTypes, keylime.Cut, keylime.HTMLPage} {
		host.verifier.Break(fault)
		pages.WriteString(body(t, s.url+"/metrics"))
	}
	for _, want := range []string{`attestation_keylime_agent_info{`, `attestation_luks_keyslots{`} {
		if !strings.Contains(pages.String(), want) {
			t.Errorf("no page has %s, so this test looks at nothing:\n%s", want, s.log)
		}
	}
	for _, secret := range secrets {
		if strings.Contains(pages.String(), secret) {
			t.Errorf("a page has the secret %s", secret)
		}
		if strings.Contains(s.log.String(), secret) {
			t.Errorf("the log has the secret %s", secret)
		}
	}
}

// jweParts are the encrypted keys, nonces and sealed blobs in a header's tokens.
func jweParts(t *testing.T, header string) []string {
	t.Helper()
	content, err := os.ReadFile(header)
	if err != nil {
		t.Fatal(err)
	}
	var parts []string
	for _, match := range regexp.MustCompile(`"(?:ciphertext|protected|iv|tag|tpm2-blob|tpm2_pcr_lock|salt|digest)":"([^"]{12,})"`).FindAllSubmatch(bytes.ReplaceAll(content, []byte(`\/`), []byte("/")), -1) {
		parts = append(parts, string(match[1]))
	}
	if len(parts) < 5 {
		t.Fatalf("got %d secrets of %s, want five and more", len(parts), header)
	}
	return parts
}

func body(t *testing.T, url string) string {
	t.Helper()
	status, text := eventually(t, url)
	if status != http.StatusOK {
		t.Fatalf("%s: got %d", url, status)
	}
	return text
}

// A client key in a file may be mended while the program runs, so one that can't be
// used shows when it is to be used, and what shows is not the key.
func TestBrokenKeyStaysIn(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := selfSigned(t, dir)
	writeFile(t, keyFile, canary+"\n")
	file := filepath.Join(dir, "http.yml")
	writeFile(t, file, "tls_config:\n  cert_file: "+certFile+"\n  key_file: "+keyFile+"\n")
	s := serve(t, "--collector.disable-defaults", "--collector.keylime-verifier",
		"--collector.keylime-verifier.url=https://127.0.0.1:1", "--collector.keylime-verifier.http-config="+file)
	page := body(t, s.url+"/metrics")
	if !strings.Contains(page, `attestation_scrape_collector_success{collector="keylime-verifier"} 0`) {
		t.Errorf("got\n%s\nwant the verifier to have failed", page)
	}
	if strings.Contains(page+s.log.String(), canary) {
		t.Errorf("page or log has the secret:\n%s\n%s", page, s.log)
	}
}

// A file that can't be a client's configuration stops the program, and nothing of it
// is said.
func TestBrokenConfigurationIsNotQuoted(t *testing.T) {
	dir := t.TempDir()
	certFile, _ := selfSigned(t, dir)
	for name, text := range map[string]string{
		"a key that is none":     "tls_config:\n  cert_file: " + certFile + "\n  key: " + canary + "\n",
		"key in the wrong place": "tls_config:\n  cert_file: " + certFile + "\nkey: " + canary + "\n",
		"no YAML":                "tls_config: [" + canary + "\n",
		"a password":             "basic_auth:\n  username: u\n  password: " + canary + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(dir, "http.yml")
			writeFile(t, file, text)
			var out, log bytes.Buffer
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			err := run(ctx, []string{
				"--web.listen-address=127.0.0.1:0", "--log.level=debug",
				"--collector.keylime-verifier.url=https://127.0.0.1:1", "--collector.keylime-verifier.http-config=" + file,
			}, &out, &log)
			if err == nil {
				t.Fatal("got no error")
			}
			if said := err.Error() + out.String() + log.String(); strings.Contains(said, canary) {
				t.Errorf("got %s, which has the secret", said)
			}
		})
	}
}
