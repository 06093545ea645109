package keylime

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"funlab.casa/attestation_exporter/failure"
	standin "funlab.casa/attestation_exporter/internal/tower/keylime"
)

func startRegistrar(t testing.TB, e estate) *standin.Registrar {
	t.Helper()
	server, err := standin.StartRegistrar(t.Context(), standin.RegistrarOptions{Address: "127.0.0.1:0", TLS: e.serverTLS()})
	if err != nil {
		t.Fatal(err)
	}
	return server
}

func TestRegistrar(t *testing.T) {
	e := newEstate(t)
	server := startRegistrar(t, e)
	r := newRegistrar(t, server.URL(), httpConfig(t, t.TempDir(), e.root, e.client))

	steps := []struct {
		name string
		do   func()
		want RegistrarReading
	}{
		{"empty", func() {}, RegistrarReading{Up: true}},
		{"two", func() { server.Register("b", true); server.Register("a", false) },
			RegistrarReading{Up: true, Activated: []string{"b"}, ActivatedAgents: 1, OtherAgents: 1}},
		{"activated", func() { server.Register("a", true) },
			RegistrarReading{Up: true, Activated: []string{"a", "b"}, ActivatedAgents: 2}},
		{"registered anew", func() { server.Register("b", false) },
			RegistrarReading{Up: true, Activated: []string{"a"}, ActivatedAgents: 1, OtherAgents: 1}},
		{"gone", func() { server.Remove("a"); server.Remove("b") }, RegistrarReading{Up: true}},
		{"ids that can't be asked about", func() { server.Register("../..", true); server.Register("a b\n", true) },
			RegistrarReading{Up: true, UnknownAgents: 2}},
	}
	for _, step := range steps {
		step.do()
		got, err := r.readOnce(t.Context())
		if err != nil || fmt.Sprint(got) != fmt.Sprint(step.want) {
			t.Errorf("%s: got %+v, %v, want %+v", step.name, got, err, step.want)
		}
	}
}

func TestRegistrarLarge(t *testing.T) {
	e := newEstate(t)
	server := startRegistrar(t, e)
	const agents = 450
	for i := range agents {
		server.Register(fmt.Sprintf("agent-%04d", i), i%10 != 0)
	}
	r := newRegistrar(t, server.URL(), httpConfig(t, t.TempDir(), e.root, e.client))
	for round, unknown := range []int{agents - questions, agents - 2*questions, 0} {
		got, err := r.readOnce(t.Context())
		if got.UnknownAgents != unknown || got.ActivatedAgents+got.OtherAgents != agents-unknown {
			t.Fatalf("reading %d: got %d unknown, %d known, want %d, %d", round, got.UnknownAgents, got.ActivatedAgents+got.OtherAgents, unknown, agents-unknown)
		}
		if len(got.Activated) != 100 || err == nil || !strings.Contains(err.Error(), "more than the limit of 100") {
			t.Errorf("reading %d: got %d ids, %v, want the limit of 100 and an error that says so", round, len(got.Activated), err)
		}
	}
}

func TestRegistrarFaults(t *testing.T) {
	e := newEstate(t)
	server := startRegistrar(t, e)
	server.Register("a", true)
	r := newRegistrar(t, server.URL(), httpConfig(t, t.TempDir(), e.root, e.client))
	for fault, want := range map[standin.Fault]failure.Reason{
		standin.Hang: failure.Timeout, standin.Truncated: failure.Unreachable, standin.Cut: failure.Malformed,
		standin.HTMLPage: failure.Malformed, standin.Locked: failure.Malformed, standin.Refused: failure.Auth,
		standin.Gzip: failure.Malformed, standin.Endless: failure.Malformed, standin.Deep: failure.Malformed,
	} {
		server.Break(fault)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		reading, err := r.readOnce(ctx)
		cancel()
		if err == nil || failure.Of(err) != want || reading.Up || reading.Activated != nil {
			t.Errorf("%s: got %+v, %v, want nothing and a failure of reason %s", fault, reading, err, want)
		}
	}
	server.Break(standin.NoFault)
	if reading, err := r.readOnce(t.Context()); err != nil || !slices.Equal(reading.Activated, []string{"a"}) {
		t.Errorf("after that: got %+v, %v, want agent a", reading, err)
	}
}

func TestDecodeList(t *testing.T) {
	long := strings.Repeat("x", maxText+1)
	tests := []struct {
		name, text string
		want       []string
		fails      bool
	}{
		{"two", `{"code": 200, "results": {"uuids": ["a", "b"]}}`, []string{"a", "b"}, false},
		{"empty", `{"results": {"uuids": []}}`, nil, false},
		{"another API's answer", `{}`, nil, true},
		{"without a list", `{"results": {}}`, nil, true},
		{"more beside it", `{"results": {"more": {"uuids": ["x"]}, "uuids": ["a"]}, "uuids": ["y"]}`, []string{"a"}, false},
		{"verifier's form", `{"results": {"uuids": [["a"]]}}`, nil, true},
		{"not a list", `{"results": {"uuids": "a"}}`, nil, true},
		{"no object", `[]`, nil, true},
		{"empty id", `{"results": {"uuids": [""]}}`, nil, true},
		{"long id", `{"results": {"uuids": ["` + long + `"]}}`, nil, true},
		{"cut", `{"results": {"uuids": ["a"`, []string{"a"}, true},
		{"nothing", ``, nil, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := decodeList(strings.NewReader(tt.text))
			if (err != nil) != tt.fails || !slices.Equal(got, tt.want) {
				t.Errorf("got %q, %v, want %q, an error: %t", got, err, tt.want, tt.fails)
			}
			if err != nil && failure.Of(err) != failure.Malformed {
				t.Errorf("reason: got %s, want malformed", failure.Of(err))
			}
		})
	}
}

func FuzzDecodeList(f *testing.F) {
	for _, name := range []string{"registrar-agents-list", "registrar-agents-list-with-not-activated"} {
		f.Add(recordedBody(f, name))
	}
	f.Fuzz(func(t *testing.T, text string) {
		ids, err := decodeList(strings.NewReader(text))
		for _, id := range ids {
			if id == "" || len(id) > maxText {
				t.Errorf("got an id of %d bytes", len(id))
			}
		}
		if err != nil && failure.Of(err) != failure.Malformed {
			t.Errorf("reason of %v: got %s, want malformed", err, failure.Of(err))
		}
	})
}
