package collector

import (
	"bufio"
	"context"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"

	"funlab.casa/attestation_exporter/certs"
	"funlab.casa/attestation_exporter/failure"
	"funlab.casa/attestation_exporter/keylime"
)

const keylimeTestdata = "../testdata/keylime"

func keylimeGolden(name string) string {
	return filepath.Join(keylimeTestdata, "exposed", name+".prom")
}

// keylimeRecorded answers path from a recorded answer.
func keylimeRecorded(t *testing.T, mux *http.ServeMux, path, name string) {
	t.Helper()
	file, err := os.Open(filepath.Join(keylimeTestdata, name+".http"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	response, err := http.ReadResponse(bufio.NewReader(file), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", response.Header.Get("Content-Type"))
		w.Header().Set("Date", response.Header.Get("Date"))
		w.WriteHeader(response.StatusCode)
		_, _ = w.Write(body)
	})
}

// keylimeServe serves mux over TLS and returns how to read it.
func keylimeServe(t testing.TB, mux *http.ServeMux) (address string, options keylime.VerifierOptions) {
	t.Helper()
	server := httptest.NewTLSServer(mux)
	t.Cleanup(server.Close)
	dir := t.TempDir()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(filepath.Join(dir, "ca.crt"), ca, 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "http.yml")
	if err := os.WriteFile(path, []byte("tls_config:\n  ca_file: ca.crt\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	client, err := keylime.LoadHTTPConfig(path)
	if err != nil {
		t.Fatal(err)
	}
	return server.URL, keylime.VerifierOptions{URL: server.URL, HTTP: client, Settings: keylime.NewFiles(dir, nil).Verifier}
}

// TestKeylimeVerifierRecorded shows what becomes of answers of a real verifier.
func TestKeylimeVerifierRecorded(t *testing.T) {
	tests := []struct {
		name, version, bulk string
		want                failure.Reason
	}{
		{"verifier_all_states", "verifier-version", "verifier-agents-bulk-all-states-partly-from-db", ""},
		{"verifier_no_agents", "verifier-version", "verifier-agents-bulk-verifier-unknown", ""},
		{"verifier_push", "push-verifier-version-410", "push-verifier-agents-bulk", ""},
		{"verifier_not_its_own", "verifier-version", "two-verifiers-bulk-first-filter-none", ""},
		{"verifier_locked", "verifier-version", "verifier-agents-bulk-db-locked", failure.Malformed},
		{"verifier_forbidden", "verifier-version", "verifier-no-client-cert-403", failure.Auth},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			mux := http.NewServeMux()
			keylimeRecorded(t, mux, "/version", tt.version)
			keylimeRecorded(t, mux, "/v2.6/agents/", tt.bulk)
			_, options := keylimeServe(t, mux)
			verifier, err := keylime.NewVerifier(options)
			if err != nil {
				t.Fatal(err)
			}
			err = certificateCompare(t, NewKeylimeVerifier(verifier.Read), keylimeGolden(tt.name))
			if (err == nil) != (tt.want == "") || err != nil && failure.Of(err) != tt.want {
				t.Errorf("Update: got error %v, want one of reason %q", err, tt.want)
			}
		})
	}
}

func TestKeylimeVerifier(t *testing.T) {
	state, strange, count, yes := keylime.GetQuote, keylime.State(42), uint64(7), true
	taken := time.Unix(1_800_000_000, 250_000_000)
	odd := "quote\" newline\n bad\xff"
	partly := keylime.VerifierReading{
		Verifier: "default", Up: true, Taken: taken, QuoteInterval: 500 * time.Millisecond,
		Agents: []keylime.Agent{
			{ID: odd, Mode: keylime.Pull, State: &state, Verdict: "NEW", Attestations: &count, LastSuccess: taken, RuntimePolicy: &yes},
			{ID: "strange", Mode: keylime.Pull, State: &strange, Verdict: keylime.Pending},
			{ID: "bare", Mode: keylime.Push, Verdict: keylime.Timeout},
		},
	}
	broken := failure.Errorf(failure.Malformed, "agent of the wrong type")
	tests := []struct {
		name    string
		reading keylime.VerifierReading
		err     error
		want    error
	}{
		{"verifier_partly", partly, broken, broken},
		{"verifier_down", keylime.VerifierReading{Verifier: "default"}, broken, broken},
		{"verifier_too_slow", keylime.VerifierReading{Verifier: "default"}, context.DeadlineExceeded, context.DeadlineExceeded},
		{"verifier_absent", keylime.VerifierReading{}, keylime.ErrAbsent, ErrNoData},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := NewKeylimeVerifier(func(context.Context) (keylime.VerifierReading, error) { return tt.reading, tt.err })
			if err := certificateCompare(t, c, keylimeGolden(tt.name)); !errors.Is(err, tt.want) {
				t.Errorf("Update: got error %v, want %v", err, tt.want)
			}
		})
	}
}

func TestKeylimeRegistrar(t *testing.T) {
	broken := failure.Errorf(failure.Internal, "more than the limit")
	tests := []struct {
		name    string
		reading keylime.RegistrarReading
		err     error
		want    error
	}{
		{"registrar", keylime.RegistrarReading{Up: true, Activated: []string{"a", "b"}, ActivatedAgents: 2, OtherAgents: 3, UnknownAgents: 4}, nil, nil},
		{"registrar_empty", keylime.RegistrarReading{Up: true}, nil, nil},
		{"registrar_limit", keylime.RegistrarReading{Up: true, Activated: []string{"a"}, ActivatedAgents: 2}, broken, broken},
		{"registrar_down", keylime.RegistrarReading{}, broken, broken},
		{"registrar_too_slow", keylime.RegistrarReading{}, context.DeadlineExceeded, context.DeadlineExceeded},
		{"registrar_absent", keylime.RegistrarReading{}, keylime.ErrAbsent, ErrNoData},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := NewKeylimeRegistrar(func(context.Context) (keylime.RegistrarReading, error) { return tt.reading, tt.err })
			if err := certificateCompare(t, c, keylimeGolden(tt.name)); !errors.Is(err, tt.want) {
				t.Errorf("Update: got error %v, want %v", err, tt.want)
			}
		})
	}
}

func TestKeylimeAgent(t *testing.T) {
	broken := failure.Errorf(failure.Unreachable, "connect")
	certificate := &certs.Certificate{
		NotBefore: time.Unix(1_800_000_000, 0), NotAfter: time.Unix(1_800_086_400, 0), Subject: "CN=agent", Issuer: "CN=Intermediate",
	}
	tests := []struct {
		name    string
		reading keylime.LocalAgentReading
		err     error
		want    error
	}{
		{"agent", keylime.LocalAgentReading{ID: keylime.DefaultUUID, Address: "127.0.0.1:9002", Up: true, Certificate: certificate}, nil, nil},
		{"agent_without_id", keylime.LocalAgentReading{Address: "127.0.0.1:9002", Up: true, Certificate: certificate}, nil, nil},
		{"agent_silent", keylime.LocalAgentReading{ID: keylime.DefaultUUID, Address: "127.0.0.1:9002"}, broken, broken},
		{"agent_too_slow", keylime.LocalAgentReading{ID: keylime.DefaultUUID, Address: "127.0.0.1:9002"}, context.DeadlineExceeded, context.DeadlineExceeded},
		{"agent_push", keylime.LocalAgentReading{ID: keylime.DefaultUUID}, nil, nil},
		{"agent_absent", keylime.LocalAgentReading{}, keylime.ErrAbsent, ErrNoData},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := NewKeylimeAgent(func(context.Context) (keylime.LocalAgentReading, error) { return tt.reading, tt.err })
			if err := certificateCompare(t, c, keylimeGolden(tt.name)); !errors.Is(err, tt.want) {
				t.Errorf("Update: got error %v, want %v", err, tt.want)
			}
		})
	}
}

// BenchmarkKeylimeVerifier10000 is a scrape of a verifier with 10,000 agents, from
// the request to the text that is sent, above what the server needs to answer.
func BenchmarkKeylimeVerifier10000(b *testing.B) {
	mux := http.NewServeMux()
	mux.HandleFunc("/version", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"results": {"supported_versions": ["2.6"]}}`)
	})
	body := keylimeManyAgents(b, 10_000)
	mux.HandleFunc("/v2.6/agents/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(body)
	})
	_, options := keylimeServe(b, mux)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		// A new one each time, which nothing keeps from reading.
		verifier, err := keylime.NewVerifier(options)
		if err != nil {
			b.Fatal(err)
		}
		scrape := &certificateScrape{Collector: NewKeylimeVerifier(verifier.Read)}
		registry := prometheus.NewRegistry()
		registry.MustRegister(scrape)
		families, err := registry.Gather()
		if err != nil || scrape.err != nil {
			b.Fatal(err, scrape.err)
		}
		for _, family := range families {
			if _, err := expfmt.MetricFamilyToText(io.Discard, family); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.StopTimer()
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	b.ReportMetric(float64(memory.Sys)/(1<<20), "MiB-sys")
}

// keylimeManyAgents is a bulk answer about n agents of the recorded size.
func keylimeManyAgents(t testing.TB, n int) []byte {
	t.Helper()
	file, err := os.Open(filepath.Join(keylimeTestdata, "verifier-agent-ok-state3.http"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	response, err := http.ReadResponse(bufio.NewReader(file), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	single, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	const head = `{"code": 200, "status": "Success", "results": {`
	agent := single[len(head)-1 : len(single)-1]
	text := []byte(head)
	for i := range n {
		if i > 0 {
			text = append(text, ", "...)
		}
		text = append(text, `"seed-`+strconv.Itoa(100_000_000+i)+`-0000-4000-8000-000000000000": `...)
		text = append(text, agent...)
	}
	return append(text, "}}"...)
}
