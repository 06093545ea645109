package keylime

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/common/config"

	"funlab.casa/attestation_exporter/failure"
	standin "funlab.casa/attestation_exporter/internal/tower/keylime"
)

const testdata = "../testdata/keylime"

// startVerifier starts a stand-in with one agent that attests.
func startVerifier(t testing.TB, e estate, change func(*standin.VerifierOptions)) *standin.Verifier {
	t.Helper()
	options := standin.VerifierOptions{Address: "127.0.0.1:0", TLS: e.serverTLS(), ID: "default", Interval: 2 * time.Second}
	if change != nil {
		change(&options)
	}
	server, err := standin.StartVerifier(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	server.Add(standin.Agent{ID: "a", IP: "127.0.0.1", Port: 9002, Added: time.Now().Add(-time.Minute), Conduct: standin.Attests, V: canary})
	return server
}

func TestVerifierFaults(t *testing.T) {
	e := newEstate(t)
	client := httpConfig(t, t.TempDir(), e.root, e.client)
	tests := []struct {
		fault  standin.Fault
		reason failure.Reason
		up     bool
		agents int
		says   string
	}{
		{standin.NoFault, "", true, 1, ""},
		{standin.Hang, failure.Timeout, false, 0, "context deadline exceeded"},
		{standin.SlowBytes, failure.Timeout, false, 0, ""},
		{standin.Truncated, failure.Unreachable, false, 0, "EOF"},
		{standin.Cut, failure.Malformed, false, 0, "isn't JSON of Keylime's form"},
		{standin.WrongTypes, failure.Malformed, true, 1, `agent "a"`},
		{standin.Doubled, failure.Malformed, true, 0, `agent "a" is there 2 times`},
		{standin.HTMLPage, failure.Malformed, false, 0, `"text/html" instead of JSON`},
		{standin.Gzip, failure.Malformed, false, 0, `encoded as "gzip"`},
		{standin.Endless, failure.Malformed, false, 0, "longer than 1048576 bytes"},
		{standin.Deep, failure.Malformed, false, 0, "isn't JSON of Keylime's form"},
		{standin.Redirect, failure.Malformed, false, 0, "redirects are not followed"},
		{standin.Locked, failure.Malformed, false, 0, "answered 500"},
		{standin.Refused, failure.Auth, false, 0, "Action list_agents requires admin authentication"},
		{standin.Unversioned, failure.Malformed, false, 0, "knows none of the API versions 2.6"},
		{standin.BadGateway, failure.Unreachable, false, 0, "answered 502"},
		{standin.NoDate, failure.Malformed, true, 1, "no valid Date"},
	}
	for _, tt := range tests {
		t.Run(string(tt.fault), func(t *testing.T) {
			server := startVerifier(t, e, nil)
			server.Break(tt.fault)
			v := newVerifier(t, server.URL(), client)
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()

			reading, err := v.readOnce(ctx)
			if (err == nil) != (tt.reason == "") || err != nil && failure.Of(err) != tt.reason {
				t.Fatalf("error: got %v, want one of reason %q", err, tt.reason)
			}
			if err != nil && !strings.Contains(err.Error(), tt.says) {
				t.Errorf("error: got %q, want it to say %q", err, tt.says)
			}
			if reading.Up != tt.up || len(reading.Agents) != tt.agents || reading.Verifier != "default" {
				t.Errorf("reading: got up %t, %d agents of %q, want %t, %d of default", reading.Up, len(reading.Agents), reading.Verifier, tt.up, tt.agents)
			}
			noCanary(t, reading, err)

			server.Break(standin.NoFault)
			reading, err = v.readOnce(t.Context())
			if err != nil || !reading.Up || len(reading.Agents) != 1 {
				t.Errorf("after the fault: got up %t, %d agents, %v, want one agent", reading.Up, len(reading.Agents), err)
			}
		})
	}
}

// noCanary fails where the secret of an agent left this package.
func noCanary(t *testing.T, reading VerifierReading, err error) {
	t.Helper()
	text, marshalErr := json.Marshal(reading)
	if marshalErr != nil {
		t.Fatal(marshalErr)
	}
	if strings.Contains(string(text), "CANARY") {
		t.Errorf("reading: got the secret in %s", text)
	}
	if err != nil && strings.Contains(err.Error(), "CANARY") {
		t.Errorf("error: got the secret in %v", err)
	}
}

func TestWrongTypesLeaveTheRest(t *testing.T) {
	e := newEstate(t)
	server := startVerifier(t, e, nil)
	server.Break(standin.WrongTypes)
	reading, err := newVerifier(t, server.URL(), httpConfig(t, t.TempDir(), e.root, e.client)).readOnce(t.Context())
	if failure.Of(err) != failure.Malformed || len(reading.Agents) != 1 {
		t.Fatalf("got %d agents, %v, want one and a mistake", len(reading.Agents), err)
	}
	agent := reading.Agents[0]
	if agent.State != nil || agent.Attestations != nil || agent.HashAlg != "" {
		t.Errorf("what had the wrong type: got %v, %v, %q, want nothing", agent.State, agent.Attestations, agent.HashAlg)
	}
	if agent.EncAlg != "rsa2048" || agent.LastSuccess.IsZero() || agent.Verdict != Pass {
		t.Errorf("the rest: got %+v, want it as it was", agent)
	}
}

func TestVerifierTLS(t *testing.T) {
	e, other := newEstate(t), newEstate(t)
	tests := []struct {
		name   string
		server func(*tls.Config)
		client *identity
		want   failure.Reason
	}{
		{"healthy", func(*tls.Config) {}, e.client, ""},
		{"healthy with TLS 1.2", func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, e.client, ""},
		{"server of another CA", func(c *tls.Config) { c.Certificates = []tls.Certificate{other.server.pair()} }, e.client, failure.TLS},
		{"server expired", func(c *tls.Config) {
			c.Certificates = []tls.Certificate{mint(t, "s", e.intermediate, expired).pair()}
		}, e.client, failure.TLS},
		{"server without its intermediate", func(c *tls.Config) {
			c.Certificates[0].Certificate = c.Certificates[0].Certificate[:1]
		}, e.client, failure.TLS},
		{"no client certificate, release 7.14", func(*tls.Config) {}, nil, failure.Auth},
		{"no client certificate, older", func(c *tls.Config) { c.ClientAuth = tls.RequireAndVerifyClientCert }, nil, failure.TLS},
		{"no client certificate, older, TLS 1.2", func(c *tls.Config) {
			c.ClientAuth, c.MaxVersion = tls.RequireAndVerifyClientCert, tls.VersionTLS12
		}, nil, failure.TLS},
		{"client of another CA", func(*tls.Config) {}, other.client, failure.TLS},
		{"client expired", func(*tls.Config) {}, mint(t, "c", e.intermediate, expired), failure.TLS},
		{"client expired, TLS 1.2", func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, mint(t, "c", e.intermediate, expired), failure.TLS},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server := startVerifier(t, e, func(o *standin.VerifierOptions) { tt.server(o.TLS) })
			v := newVerifier(t, server.URL(), httpConfig(t, t.TempDir(), e.root, tt.client))
			_, err := v.readOnce(t.Context())
			if (err == nil) != (tt.want == "") || err != nil && failure.Of(err) != tt.want {
				t.Errorf("error: got %v, want one of reason %q", err, tt.want)
			}
		})
	}
}

func TestServerName(t *testing.T) {
	e := newEstate(t)
	server := startVerifier(t, e, nil)
	url := strings.Replace(server.URL(), "127.0.0.1", "localhost", 1)
	for name, want := range map[string]failure.Reason{"localhost": "", "keylime.example": failure.TLS} {
		v := newVerifier(t, url, httpConfig(t, t.TempDir(), e.root, e.client, "  server_name: "+name))
		if _, err := v.readOnce(t.Context()); (err == nil) != (want == "") || err != nil && failure.Of(err) != want {
			t.Errorf("verified as %s: got %v, want a failure of reason %q", name, err, want)
		}
	}
}

func TestCertificatesAreReadAgain(t *testing.T) {
	e := newEstate(t)
	server := startVerifier(t, e, nil)
	dir := t.TempDir()
	v := newVerifier(t, server.URL(), httpConfig(t, dir, e.root, mint(t, "old", e.intermediate, expired)))
	if _, err := v.readOnce(t.Context()); failure.Of(err) != failure.TLS {
		t.Fatalf("with the old certificate: got %v, want a failure of reason tls", err)
	}
	httpConfig(t, dir, e.root, e.client)
	if _, err := v.readOnce(t.Context()); err != nil {
		t.Errorf("after its renewal: got %v, want success", err)
	}
}

func TestCertificateFilesThatCantBeUsed(t *testing.T) {
	e := newEstate(t)
	server := startVerifier(t, e, nil)
	tests := []struct {
		name, file, text string
		want             failure.Reason
	}{
		{"key of another certificate", "client.key", e.server.keyPEM(t), failure.TLS},
		{"no key in the file", "client.key", "nothing", failure.TLS},
		{"no certificate in the CA's file", "ca.crt", "nothing", failure.TLS},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			client := httpConfig(t, dir, e.root, e.client)
			writeFile(t, filepath.Join(dir, tt.file), tt.text)
			v := newVerifier(t, server.URL(), client)
			if _, err := v.readOnce(t.Context()); err == nil || failure.Of(err) != tt.want {
				t.Errorf("error: got %v, want one of reason %s", err, tt.want)
			}
			httpConfig(t, dir, e.root, e.client)
			if _, err := v.readOnce(t.Context()); err != nil {
				t.Errorf("once it is right: got %v, want success", err)
			}
		})
	}
}

func TestVersions(t *testing.T) {
	e := newEstate(t)
	client := httpConfig(t, t.TempDir(), e.root, e.client)
	tests := []struct {
		name    string
		change  func(*standin.VerifierOptions)
		want    string
		refused bool
	}{
		{"7.14.3", func(*standin.VerifierOptions) {}, "2.6", false},
		{"7.14.0", func(o *standin.VerifierOptions) { o.Versions = []string{"1.0", "2.4", "2.5", "3.0"} }, "2.5", false},
		{"7.8", func(o *standin.VerifierOptions) { o.Versions = []string{"1.0", "2.0", "2.1"} }, "2.1", false},
		{"a later one", func(o *standin.VerifierOptions) { o.Versions = []string{"2.6", "2.7", "3.0", "4.0"} }, "2.6", false},
		{"push mode", func(o *standin.VerifierOptions) { o.Push = true }, "2.6", false},
		{"push mode, 7.14.0", func(o *standin.VerifierOptions) { o.Push, o.Versions = true, []string{"2.4", "2.5", "3.0"} }, "2.5", false},
		{"only 3.0", func(o *standin.VerifierOptions) { o.Versions = []string{"3.0"} }, "", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server := startVerifier(t, e, tt.change)
			v := newVerifier(t, server.URL(), client)
			for range 3 {
				_, err := v.readOnce(t.Context())
				if (err != nil) != tt.refused {
					t.Fatalf("error: got %v, want one: %t", err, tt.refused)
				}
			}
			if v.api.version != tt.want {
				t.Errorf("version: got %q, want %q", v.api.version, tt.want)
			}
			if got := server.Requests("version"); !tt.refused && got != 1 {
				t.Errorf("questions for the version in three readings: got %d, want 1", got)
			}
		})
	}
}

func TestVersionIsAgreedOnAnew(t *testing.T) {
	e := newEstate(t)
	client := httpConfig(t, t.TempDir(), e.root, e.client)
	server := startVerifier(t, e, nil)
	v := newVerifier(t, server.URL(), client)
	v.api = api{base: mustURL(t, server.URL()), client: v.client, version: "2.9"}
	if _, err := v.readOnce(t.Context()); err != nil || v.api.version != "2.6" {
		t.Errorf("with a version that the server has forgotten: got %v, version %q, want 2.6", err, v.api.version)
	}
}

func TestSharedDatabase(t *testing.T) {
	e := newEstate(t)
	server := startVerifier(t, e, nil)
	server.AddOther(standin.Agent{ID: "b", IP: "127.0.0.1", Port: 9003, Added: time.Now(), Conduct: standin.Attests})
	client := httpConfig(t, t.TempDir(), e.root, e.client)
	for id, want := range map[string]string{"default": "a", "other": "b"} {
		v := newVerifier(t, server.URL(), client)
		v.options.ID = id
		reading, err := v.readOnce(t.Context())
		if err != nil || len(reading.Agents) != 1 || reading.Agents[0].ID != want {
			t.Errorf("as verifier %s: got %+v, %v, want agent %s alone", id, reading.Agents, err, want)
		}
	}
}

// TestFilterIsChecked covers a server that doesn't heed the filter.
func TestFilterIsChecked(t *testing.T) {
	e := newEstate(t)
	server, err := standin.StartReplay(t.Context(), e.serverTLS(), testdata, map[string]string{
		"/version": "verifier-version",
		"/v2.6/agents/?bulk=true&verifier=default": "two-verifiers-bulk-first-filter-none",
	})
	if err != nil {
		t.Fatal(err)
	}
	reading, err := newVerifier(t, server.URL(), httpConfig(t, t.TempDir(), e.root, e.client)).readOnce(t.Context())
	if err != nil || len(reading.Agents) != 4 {
		t.Errorf("got %d agents, %v, want the 4 of this verifier", len(reading.Agents), err)
	}
}

func TestVerifierInFront(t *testing.T) {
	e := newEstate(t)
	server := startVerifier(t, e, nil)
	client := httpConfig(t, t.TempDir(), e.root, e.client)
	_, err := newVerifier(t, server.URL()+"/keylime/verifier", client).readOnce(t.Context())
	if failure.Of(err) != failure.Malformed || server.Requests("keylime/verifier/version") != 1 {
		t.Errorf("got %v, %d requests below the path, want one", err, server.Requests("keylime/verifier/version"))
	}
}

func TestVerifierLimit(t *testing.T) {
	e := newEstate(t)
	server := startVerifier(t, e, nil)
	v := newVerifier(t, server.URL(), httpConfig(t, t.TempDir(), e.root, e.client))
	server.Break(standin.Hang)
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		reading, err := v.Read(ctx)
		cancel()
		if failure.Of(err) != failure.Timeout || reading.Up || reading.Verifier != "default" {
			t.Errorf("got %+v, %v, want the verifier's id and a timeout", reading, err)
		}
	}
	if got := server.Requests("version"); got != 1 {
		t.Errorf("requests of three scrapes: got %d, want the one under way", got)
	}
}

// By the id of another verifier there are no agents, and no error.
func TestVerifierWhoseFilesAreInTrouble(t *testing.T) {
	e := newEstate(t)
	server := startVerifier(t, e, nil)
	client := httpConfig(t, t.TempDir(), e.root, e.client)
	trouble := failure.Errorf(failure.Timeout, "the reader starts")
	tests := []struct {
		name  string
		id    string
		err   error
		known bool // the files could be read once
		want  string
	}{
		{"absent", "", ErrAbsent, false, "default"},
		{"closed", "", failure.Errorf(failure.Permission, "closed"), false, "default"},
		{"for a moment", "", trouble, true, "mine"},
		{"from the start", "", trouble, false, ""},
		{"from the start, and told", "told", trouble, false, "told"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var err error
			v, made := NewVerifier(VerifierOptions{URL: server.URL(), HTTP: client, ID: tt.id, Settings: func(context.Context) (VerifierSettings, error) {
				return VerifierSettings{ID: "mine"}, err
			}})
			if made != nil {
				t.Fatal(made)
			}
			if tt.known {
				if _, err := v.readOnce(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			err = tt.err
			got, err := v.readOnce(t.Context())
			if got.Verifier != tt.want || (err == nil) != (tt.want != "") {
				t.Errorf("got %q, %v, want %q", got.Verifier, err, tt.want)
			}
		})
	}
}

// A reader that hangs isn't the verifier's time.
func TestVerifierWhoseSettingsHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		v, err := NewVerifier(VerifierOptions{HTTP: &config.HTTPClientConfig{}, Settings: func(ctx context.Context) (VerifierSettings, error) {
			asked++
			<-ctx.Done()
			return VerifierSettings{}, ctx.Err()
		}})
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if _, err := v.Read(t.Context()); failure.Of(err) != failure.Timeout {
				t.Errorf("got %v, want a timeout", err)
			}
		}
		if asked != 3 {
			t.Errorf("got %d attempts at three readings, want 3", asked)
		}
	})
}

func TestVerifierNotHere(t *testing.T) {
	e := newEstate(t)
	client := httpConfig(t, t.TempDir(), e.root, e.client)
	here := t.TempDir()
	writeFile(t, filepath.Join(here, "etc/keylime/verifier.conf"), "[verifier]\nuuid = mine\nport = 1\n")
	tests := []struct {
		name    string
		options VerifierOptions
		absent  bool
	}{
		{"no file", VerifierOptions{HTTP: client, Settings: NewFiles(t.TempDir(), nil).Verifier}, true},
		{"no identity given", VerifierOptions{Settings: NewFiles(here, nil).Verifier}, true},
		{"here and silent", VerifierOptions{HTTP: client, Settings: NewFiles(here, nil).Verifier}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v, err := NewVerifier(tt.options)
			if err != nil {
				t.Fatal(err)
			}
			reading, err := v.Read(t.Context())
			if err == nil || errors.Is(err, ErrAbsent) != tt.absent {
				t.Errorf("error: got %v, want ErrAbsent: %t", err, tt.absent)
			}
			if want := map[bool]string{true: "", false: "mine"}[tt.absent]; reading.Verifier != want {
				t.Errorf("verifier: got %q, want %q", reading.Verifier, want)
			}
		})
	}
}

func TestOptions(t *testing.T) {
	e := newEstate(t)
	client := httpConfig(t, t.TempDir(), e.root, e.client)
	for _, address := range []string{"http://localhost:8881", "localhost:8881", "https://", "https://u:p@host", "https://host/?a=b", "https://host/#a", "://"} {
		if _, err := NewVerifier(VerifierOptions{URL: address, HTTP: client}); err == nil {
			t.Errorf("URL %q: got no error, want one", address)
		}
	}
	if _, err := NewVerifier(VerifierOptions{URL: "https://host"}); err == nil {
		t.Error("URL without an identity: got no error, want one")
	}
}
