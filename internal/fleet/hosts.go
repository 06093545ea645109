package fleet

import (
	"fmt"
	"time"
)

// A host of the deployment. The first one runs the servers.
type host struct {
	name   string
	number int
	agent  string // its Keylime agent
}

func hosts() []host {
	return []host{
		{"spire", 0, "5e1f0c9a-70b4-4d2e-9a53-1c6f2b8d7e04"},
		{"auth", 1, "c2a94d17-3b86-4f0e-8d75-0e9b61f4a3d8"},
		{"ca", 2, "91b7d3e2-6c05-4a18-b1f4-7d20e8c5f639"},
	}
}

func (h host) fqdn() string     { return h.name + "." + TrustDomain }
func (h host) instance() string { return h.fqdn() + ":10247" }
func (h host) spiffeID() string {
	return "spiffe://" + TrustDomain + "/spire/agent/keylime/" + h.agent
}

// booted is when the host last started, some weeks ago.
func (h host) booted(at time.Time) time.Time {
	return before(at, 28*24*time.Hour, time.Duration(h.number*97)*time.Hour)
}

func (f Fleet) describe(p *page, h host, at time.Time) {
	f.tpm(p, h, at)
	f.boot(p, h, at)
	f.disk(p, h, at)
	f.certificates(p, h, at)
	f.bundles(p, h, at)
	f.timers(p, h, at)
	f.hostAgents(p, h, at)
	if h.number == 0 {
		f.keylime(p, at)
		f.spireServer(p, at)
	}
	f.collectors(p, h, at)
	process(p, h, at)
}

// collectors says of each collector how it went, as slow as such things are.
func (f Fleet) collectors(p *page, h host, at time.Time) {
	seconds := map[string]float64{
		"tpm": 0.031, "boot": 0.0021, "luks": 0.0012, "certificate": 0.0018, "trust-bundle": 0.0006, "timer": 0.0032,
		"keylime-agent": 0.0041, "spire-agent": 0.0024, "spire-plugins": 0.0009, "reader": 0.0004,
	}
	if h.number == 0 {
		seconds["keylime-verifier"], seconds["keylime-registrar"], seconds["spire-server"] = 0.012, 0.0056, 0.0064
	}
	failing := map[string]string{}
	if h.name == "auth" && f.broken("tpm-wedged", at) {
		failing["tpm"], seconds["tpm"] = "timeout", 9.5
	}
	if h.name == "auth" && f.broken("agent-gone", at) {
		failing["keylime-agent"] = "unreachable"
	}
	if h.number == 0 && f.broken("verifier-down", at) {
		failing["keylime-verifier"] = "unreachable"
	}
	if h.number == 0 && f.broken("spire-server", at) {
		failing["spire-server"] = "unreachable"
	}
	for collector, took := range seconds {
		seed := h.number + len(collector)
		_, fails := failing[collector]
		p.claim("attestation_scrape_collector_success", !fails, "collector", collector)
		p.add("attestation_scrape_collector_duration_seconds", took*(1+0.25*wave(at, 37*time.Minute, seed)), "collector", collector)
		for _, reason := range []string{"timeout", "unreachable", "permission", "tls", "auth", "malformed", "internal"} {
			failures := 0.0
			if fails && failing[collector] == reason {
				for _, since := range f.Broken {
					failures = max(failures, at.Sub(since).Seconds()/15)
				}
			}
			p.add("attestation_scrape_failures_total", float64(int(failures)), "collector", collector, "reason", reason)
		}
	}
}

func process(p *page, h host, at time.Time) {
	up := at.Sub(h.booted(at)).Seconds()
	p.add("attestation_exporter_build_info", 1, "version", "0.1.0", "revision", "b034be3", "branch", "main", "goversion", "go1.26.0", "goos", "linux", "goarch", "amd64", "tags", "unknown")
	p.add("process_resident_memory_bytes", (21+2.5*float64(3-h.number)/2+0.6*wave(at, 50*time.Minute, h.number))*1e6)
	p.add("process_cpu_seconds_total", up*0.0011*(1+0.3*float64(2-h.number)))
	p.add("process_open_fds", float64(14+h.number))
	p.moments("process_start_time_seconds", h.booted(at))
	p.add("go_goroutines", float64(19+2*(2-h.number)))
}

func digest(seed string) string { return fmt.Sprintf("%064x", []byte(seed)) }
