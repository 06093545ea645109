package spire

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"funlab.casa/attestation_exporter/certs"
	"funlab.casa/attestation_exporter/failure"
)

func fixed(err error, bundles ...certs.LiveBundle) LiveSource {
	return func(context.Context) ([]certs.LiveBundle, error) { return bundles, err }
}

func TestMergeLive(t *testing.T) {
	server := certs.LiveBundle{TrustDomain: "a", Source: "server"}
	agent := certs.LiveBundle{TrustDomain: "a", Source: "workload-api"}
	foreign := certs.LiveBundle{TrustDomain: "b", Source: "workload-api"}
	broken := errors.New("broken")
	tests := []struct {
		name    string
		sources []LiveSource
		want    []certs.LiveBundle
		wantErr error
	}{
		{"none", nil, nil, nil},
		{"all absent", []LiveSource{fixed(ErrAbsent), fixed(ErrAbsent)}, nil, nil},
		{"the first is believed", []LiveSource{fixed(nil, server), fixed(nil, agent, foreign)}, []certs.LiveBundle{server, foreign}, nil},
		{"the second makes up", []LiveSource{fixed(broken), fixed(nil, agent)}, []certs.LiveBundle{agent}, nil},
		{"nobody makes up", []LiveSource{fixed(broken), fixed(ErrAbsent)}, nil, broken},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := MergeLive(tt.sources...)(t.Context())
			if !reflect.DeepEqual(got, tt.want) || !errors.Is(err, tt.wantErr) {
				t.Errorf("got %+v, %v, want %+v, %v", got, err, tt.want, tt.wantErr)
			}
		})
	}
}

func TestAgentLive(t *testing.T) {
	domain := newDomain(t)
	agent, dir := newAgent(t, domain)
	options := agentOptions(dir)

	live, err := NewAgent(options).Live(t.Context())
	if err != nil || len(live) != 1 || live[0].Source != AgentDataBundle || live[0].TrustDomain != "funlab.casa" || len(live[0].Authorities) != 1 {
		t.Errorf("got %+v, %v, want the cached bundle", live, err)
	}
	options.WorkloadAPI = true
	live, err = NewAgent(options).Live(t.Context())
	if err != nil || len(live) != 1 || live[0].Source != AgentDataBundle {
		t.Errorf("got %+v, %v from an agent that refuses, want the cached bundle", live, err)
	}
	agent.SetEntry(true)
	if err := domain.Prepare(); err != nil {
		t.Fatal(err)
	}
	live, err = NewAgent(options).Live(t.Context())
	if err != nil || len(live) != 1 || live[0].Source != "workload-api" || len(live[0].Authorities) != 2 {
		t.Errorf("got %+v, %v, want what workloads get", live, err)
	}
	options.Place.DataDirs = []string{t.TempDir()}
	options.WorkloadAPI = false
	if live, err := NewAgent(options).Live(t.Context()); !errors.Is(err, ErrAbsent) {
		t.Errorf("got %+v, %v where nothing may be read, want %v", live, err, ErrAbsent)
	}
}

func TestServerLive(t *testing.T) {
	domain := newDomain(t)
	stand := newServer(t, domain)
	if err := domain.Prepare(); err != nil {
		t.Fatal(err)
	}
	domain.Activate()
	domain.TaintOld()
	live, err := NewServer(serverOptions(stand.Path)).Live(t.Context())
	if err != nil || len(live) != 1 {
		t.Fatalf("got %+v, %v, want one bundle", live, err)
	}
	got := certs.Compare(certs.ParseBundle("", domain.PEM()).Authorities, live[0].Authorities, time.Now())
	if want := (certs.Difference{Tainted: 1}); got != want {
		t.Errorf("got %+v of the same bundle as a file, want %+v", got, want)
	}
	stand.Close()
	if live, err := NewServer(serverOptions(stand.Path)).Live(t.Context()); err == nil || failure.Of(err) != failure.Unreachable {
		t.Errorf("got %+v, %v of a server that is gone, want an error", live, err)
	}
}

func TestWithCached(t *testing.T) {
	_, dir := newAgent(t, newDomain(t))
	agent := NewAgent(agentOptions(dir))
	none := func(context.Context) (certs.BundleReading, error) { return certs.BundleReading{}, certs.ErrAbsent }
	reading, err := WithCached(none, agent.Cached)(t.Context())
	if err != nil || len(reading.Bundles) != 1 || reading.Bundles[0].Name != AgentDataBundle || reading.Bundles[0].Modified.IsZero() {
		t.Errorf("got %+v, %v, want the cached bundle alone", reading, err)
	}
	writeFile(dir, agentDataFile, "{")
	reading, err = WithCached(none, agent.Cached)(t.Context())
	if err != nil || len(reading.Bundles) != 1 || reading.Bundles[0].Failed != certs.Malformed {
		t.Errorf("got %+v, %v, want a bundle that failed as malformed", reading, err)
	}
	if err := os.Remove(filepath.Join(dir, agentDataFile)); err != nil {
		t.Fatal(err)
	}
	if reading, err = WithCached(none, agent.Cached)(t.Context()); !errors.Is(err, certs.ErrAbsent) {
		t.Errorf("got %+v, %v, want %v", reading, err, certs.ErrAbsent)
	}
}

func TestWithLive(t *testing.T) {
	broken := errors.New("broken")
	one := func(context.Context) (certs.BundleReading, error) {
		return certs.BundleReading{Bundles: []certs.Bundle{{Name: "file"}}}, nil
	}
	reading, err := WithLive(one, fixed(nil, certs.LiveBundle{TrustDomain: "a"}))(t.Context())
	if err != nil || len(reading.Live) != 1 || len(reading.Bundles) != 1 {
		t.Errorf("got %+v, %v, want a copy and a live bundle", reading, err)
	}
	reading, err = WithLive(one, fixed(broken))(t.Context())
	if !errors.Is(err, broken) || len(reading.Bundles) != 1 {
		t.Errorf("got %+v, %v, want the copy and %v", reading, err, broken)
	}
	none := func(context.Context) (certs.BundleReading, error) { return certs.BundleReading{}, certs.ErrAbsent }
	reading, err = WithLive(none, fixed(broken))(t.Context())
	if !errors.Is(err, certs.ErrAbsent) || errors.Is(err, broken) {
		t.Errorf("got %+v, %v, want %v alone", reading, err, certs.ErrAbsent)
	}
}

func TestBundleFile(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"named", `agent { trust_bundle_path = "/etc/spire/trust-bundle.pem" }`, "/etc/spire/trust-bundle.pem"},
		{"relative", `agent { trust_bundle_path = "conf/bundle.pem" data_dir = "/x" }`, ""},
		{"none", `agent { data_dir = "/x" }`, ""},
		{"broken", `agent {`, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			agent := NewAgent(AgentOptions{Place: Place{Configs: []string{writeFile(t.TempDir(), "agent.conf", tt.text)}}})
			if got, _ := agent.BundleFile(); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// The root above SPIRE's own authority has no SPIFFE ID; the bundle's trust domain
// is then that of the SVID.
func TestCachedUpstreamAuthority(t *testing.T) {
	root := certs.ParseBundle("", readRecording(t, "upstream_authority/bundle_show.pem"))
	if root.TrustDomain != "" || len(root.Authorities) != 1 {
		t.Fatalf("got %+v, want a root without a trust domain", root)
	}
	_, dir := newAgent(t, newDomain(t))
	agent := NewAgent(agentOptions(dir))
	bundle, err := agent.Cached(t.Context())
	if err != nil || bundle.TrustDomain != "funlab.casa" {
		t.Errorf("got %+v, %v, want funlab.casa's", bundle, err)
	}
}
