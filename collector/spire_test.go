package collector

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"funlab.casa/attestation_exporter/certs"
	"funlab.casa/attestation_exporter/failure"
	"funlab.casa/attestation_exporter/spire"
)

const spireTestdata = "../testdata/spire"

func spireHour(n int64) time.Time { return time.Unix(1_800_000_000+n*3600, 0) }

func spireIdentity(attestationType, id string) spire.Identity {
	identity := spire.Identity{
		ID:              "spiffe://funlab.casa/spire/agent/" + attestationType + "/" + id,
		TrustDomain:     "funlab.casa",
		AttestationType: attestationType,
	}
	if attestationType == "keylime" {
		identity.KeylimeAgent = id
	}
	return identity
}

func TestSPIREAgent(t *testing.T) {
	identity := spireIdentity("keylime", "d432fbb3-d2f1-4a97-9ef7-75bd81c00000")
	svid := &certs.Certificate{NotBefore: spireHour(0), NotAfter: spireHour(1), Subject: "O=SPIRE,C=US", Issuer: "CN=funlab.casa lab,O=Lab,C=US"}
	unreachable := failure.Errorf(failure.Unreachable, "connect")
	tests := []struct {
		name    string
		reading spire.AgentReading
		err     error
		want    error
	}{
		{"healthy", spire.AgentReading{
			Up: true, Identity: &identity, SVID: svid, SyncVisible: true, LastSync: spireHour(0), WorkloadAPI: 1500 * time.Microsecond,
		}, nil, nil},
		{"debug_api_only", spire.AgentReading{
			Up: true, Identity: &identity, SVID: &certs.Certificate{FirstSeen: spireHour(0), NotAfter: spireHour(1), Subject: "O=SPIRE,C=US"}, SyncVisible: true, LastSync: spireHour(0),
		}, nil, nil},
		{"nothing_allowed", spire.AgentReading{Up: true}, nil, nil},
		{"banned", spire.AgentReading{Up: true, SyncVisible: true}, nil, nil},
		{"gone", spire.AgentReading{Identity: &identity, SVID: svid}, unreachable, unreachable},
		{"too_slow", spire.AgentReading{}, context.DeadlineExceeded, context.DeadlineExceeded},
		{"absent", spire.AgentReading{}, spire.ErrAbsent, ErrNoData},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := NewSPIREAgent(func(context.Context) (spire.AgentReading, error) { return tt.reading, tt.err })
			err := certificateCompare(t, c, filepath.Join(spireTestdata, "exposed", "agent_"+tt.name+".prom"))
			if !errors.Is(err, tt.want) {
				t.Errorf("Update: got error %v, want %v", err, tt.want)
			}
		})
	}
}

func TestSPIREServer(t *testing.T) {
	entries, none := 3, 0
	full := spire.ServerReading{
		Up: true, TrustDomain: "funlab.casa",
		Agents: []spire.ServerAgent{
			{Identity: spireIdentity("keylime", "aaaa"), NotAfter: spireHour(1), CanReattest: true},
			{Identity: spireIdentity("keylime", "bbbb"), NotAfter: spireHour(-1), Banned: true, CanReattest: true},
			{Identity: spireIdentity("join_token", "cccc"), NotAfter: spireHour(-2)},
		},
		Counts:  []spire.AgentCount{{AttestationType: "join_token", Expired: 1}, {AttestationType: "keylime", Live: 1}},
		Entries: &entries,
		Authorities: []spire.Authority{
			{Type: "x509", State: "active", NotAfter: spireHour(20)}, {Type: "x509", State: "old", NotAfter: spireHour(8)},
			{Type: "jwt", State: "active", NotAfter: spireHour(20)}, {Type: "jwt", State: "prepared", NotAfter: spireHour(32)},
		},
		Bundle:            certs.LiveBundle{TrustDomain: "funlab.casa", Authorities: []certs.Authority{{Key: "a"}, {Key: "b", Tainted: true}}},
		SVIDID:            "spiffe://funlab.casa/spire/server",
		SVID:              &certs.Certificate{NotAfter: spireHour(1), Subject: "O=SPIRE,C=US", Issuer: "CN=funlab.casa lab"},
		AgentLifetime:     time.Hour,
		AuthorityLifetime: 24 * time.Hour,
	}
	unreachable := failure.Errorf(failure.Unreachable, "connect")
	tests := []struct {
		name    string
		reading spire.ServerReading
		err     error
		want    error
	}{
		{"healthy", full, nil, nil},
		{"empty", spire.ServerReading{Up: true, TrustDomain: "funlab.casa", Entries: &none, AgentLifetime: time.Hour, AuthorityLifetime: 24 * time.Hour}, nil, nil},
		{"listing_failed", spire.ServerReading{Up: true, TrustDomain: "funlab.casa", Authorities: full.Authorities[:1], AgentLifetime: time.Hour, AuthorityLifetime: 24 * time.Hour}, unreachable, unreachable},
		{"down", spire.ServerReading{TrustDomain: "funlab.casa"}, unreachable, unreachable},
		{"too_slow", spire.ServerReading{TrustDomain: "funlab.casa"}, context.DeadlineExceeded, context.DeadlineExceeded},
		{"absent", spire.ServerReading{}, spire.ErrAbsent, ErrNoData},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := NewSPIREServer(func(context.Context) (spire.ServerReading, error) { return tt.reading, tt.err })
			err := certificateCompare(t, c, filepath.Join(spireTestdata, "exposed", "server_"+tt.name+".prom"))
			if !errors.Is(err, tt.want) {
				t.Errorf("Update: got error %v, want %v", err, tt.want)
			}
		})
	}
}

func TestSPIREPlugins(t *testing.T) {
	yes, no := true, false
	malformed := failure.Errorf(failure.Malformed, "line 1: not HCL")
	tests := []struct {
		name string
		pins []spire.Pin
		err  error
		want error
	}{
		{"all_kinds", []spire.Pin{
			{Plugin: "NodeAttestor keylime", Path: "/opt/spire/plugins/keylime", Pinned: true, Matches: &yes},
			{Plugin: "NodeAttestor rebuilt", Path: "/opt/spire/plugins/rebuilt", Pinned: true, Matches: &no},
			{Plugin: "Notifier mail", Path: "/opt/spire/plugins/mail"},
			{Plugin: "KeyManager gone", Path: "/opt/spire/plugins/gone", Pinned: true, Failed: spire.PinNotFound},
		}, nil, nil},
		{"none", nil, nil, nil},
		{"broken", []spire.Pin{{Plugin: "NodeAttestor keylime", Path: "/opt/spire/plugins/keylime", Pinned: true, Matches: &yes}}, malformed, malformed},
		{"absent", nil, spire.ErrAbsent, ErrNoData},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := NewSPIREPlugins(func(context.Context) ([]spire.Pin, error) { return tt.pins, tt.err })
			err := certificateCompare(t, c, filepath.Join(spireTestdata, "exposed", "plugins_"+tt.name+".prom"))
			if !errors.Is(err, tt.want) {
				t.Errorf("Update: got error %v, want %v", err, tt.want)
			}
		})
	}
}

func TestTrustBundleLive(t *testing.T) {
	authority := func(key string, tainted bool) certs.Authority {
		return certs.Authority{Key: key, Tainted: tainted, Certificate: certs.Certificate{NotBefore: spireHour(-1), NotAfter: spireHour(23)}}
	}
	c := NewTrustBundle(func(context.Context) (certs.BundleReading, error) {
		return certs.BundleReading{
			At: spireHour(0),
			Bundles: []certs.Bundle{
				{Name: "/etc/spire/trust-bundle.pem", TrustDomain: "funlab.casa", Authorities: []certs.Authority{authority("a", false), authority("b", false)}},
				{Name: "/etc/spire/partner.pem", TrustDomain: "partner.example", Authorities: []certs.Authority{authority("p", false)}},
				{Name: "/etc/spire/broken.pem", TrustDomain: "funlab.casa", Failed: certs.Malformed},
				{Name: spire.AgentDataBundle, TrustDomain: "funlab.casa", Authorities: []certs.Authority{authority("c", false)}},
			},
			Live: []certs.LiveBundle{{TrustDomain: "funlab.casa", Source: "server", Authorities: []certs.Authority{authority("a", true), authority("c", false)}}},
		}, nil
	})
	if err := certificateCompare(t, c, filepath.Join(spireTestdata, "exposed", "trust_bundle_live.prom")); err != nil {
		t.Error(err)
	}
}

// BenchmarkSPIREServer10000 is a scrape of a server's 10,000 agents without the
// server.
func BenchmarkSPIREServer10000(b *testing.B) {
	reading := spire.ServerReading{Up: true, TrustDomain: "funlab.casa"}
	for i := range 10_000 {
		reading.Agents = append(reading.Agents, spire.ServerAgent{Identity: spireIdentity("keylime", fmt.Sprint(i)), NotAfter: spireHour(1)})
	}
	c := NewSPIREServer(func(context.Context) (spire.ServerReading, error) { return reading, nil })
	ch := make(chan prometheus.Metric)
	go func() {
		for range ch {
			continue // Only the time counts.
		}
	}()
	defer close(ch)
	b.ReportAllocs()
	for b.Loop() {
		if err := c.Update(b.Context(), ch); err != nil {
			b.Fatal(err)
		}
	}
}
