package fleet

import (
	"time"
)

const day = 24 * time.Hour

// A renewal is a certificate that is made anew once a period.
type renewal struct {
	kind, name   string
	life, period time.Duration
	fault, on    string // the fault that stops it, and the host where
	chain        string // the authority that its chain is verified against
	chainFault   string
	unreadable   string
	maker        string
}

func (h host) renewals() []renewal {
	const certs, anchor = "/etc/keylime/certs/", "/etc/keylime/certs/ca-root-only.crt"
	all := []renewal{
		{kind: "file", name: certs + "agent.crt", life: day, period: 12 * time.Hour, fault: "renewal", on: "ca", chain: anchor, chainFault: "chain", maker: "CN=Keylime Intermediate CA"},
		{kind: "file", name: "/var/lib/tpm2-devid/devid.crt", life: 90 * day, period: 60 * day, maker: "CN=TPM DevID CA"},
		{kind: "ek", name: "0x1c00002", life: 15 * 365 * day, period: 15 * 365 * day, maker: "CN=Infineon OPTIGA(TM) RSA Manufacturing CA"},
		{kind: "agent_svid", name: h.spiffeID(), life: time.Hour, period: 30 * time.Minute, fault: "spire-server", maker: "O=SPIRE"},
	}
	switch h.name {
	case "spire":
		all = append(all,
			renewal{kind: "file", name: certs + "verifier.crt", life: day, period: 12 * time.Hour, chain: anchor, maker: "CN=Keylime Intermediate CA"},
			renewal{kind: "file", name: certs + "registrar.crt", life: day, period: 12 * time.Hour, chain: anchor, unreadable: "half-written", maker: "CN=Keylime Intermediate CA"},
			renewal{kind: "endpoint", name: "spire.funlab.casa:8443", life: time.Hour, period: 30 * time.Minute, fault: "spire-server", maker: "O=SPIRE"},
			renewal{kind: "endpoint", name: "spire.funlab.casa:8200", life: 90 * day, period: 60 * day, maker: "CN=Tower Intermediate CA"},
		)
	case "ca":
		all = append(all,
			renewal{kind: "endpoint", name: "ca.funlab.casa:9000", life: day, period: 16 * time.Hour, maker: "CN=Tower Intermediate CA"},
			renewal{kind: "file", name: "/etc/step-ca/certs/intermediate_ca.crt", life: 10 * 365 * day, period: 9 * 365 * day, maker: "CN=Tower Root CA"},
		)
	}
	return all
}

func (f Fleet) certificates(p *page, h host, at time.Time) {
	for i, r := range h.renewals() {
		if r.unreadable != "" && f.broken(r.unreadable, at) {
			p.add("attestation_certificate_load_failed", 1, "kind", r.kind, "name", r.name, "reason", "malformed")
			continue
		}
		now := at
		if r.fault != "" && (r.on == "" || r.on == h.name) {
			now = f.until(r.fault, at)
		}
		offset := time.Duration(h.number)*r.period/5 + time.Duration(i)*r.period/11
		if r.kind == "ek" {
			offset = 47 * 365 * day // Made in 2017, and never again.
		}
		made := before(now, r.period, offset)
		p.moments("attestation_certificate_not_before_timestamp_seconds", made, "kind", r.kind, "name", r.name)
		p.moments("attestation_certificate_not_after_timestamp_seconds", made.Add(r.life), "kind", r.kind, "name", r.name)
		p.add("attestation_certificate_info", 1, "kind", r.kind, "name", r.name, "subject", "CN="+h.fqdn(), "issuer", r.maker)
		if r.chain != "" {
			p.claim("attestation_certificate_chain_valid", r.chainFault == "" || h.name != "ca" || !f.broken(r.chainFault, at),
				"kind", r.kind, "name", r.name, "authority", r.chain)
		}
	}
}

// The SPIRE server makes an authority when half of the last one's life is over, and
// signs with it from five sixths on.
const (
	authorityLife   = day
	authorityPeriod = authorityLife / 2
)

// prepared is when the newest authority was made.
func prepared(at time.Time) time.Time { return before(at, authorityPeriod, 3*time.Hour) }

// bundles are the copy that a timer refreshes and the agent's own.
func (f Fleet) bundles(p *page, h host, at time.Time) {
	copied := at
	if h.name == "auth" {
		copied = f.until("bundle-timer", at)
	}
	copied = before(copied, 6*time.Hour, time.Duration(20+7*h.number)*time.Minute)
	p.bundle("/etc/spire/trust-bundle.pem", copied, prepared(f.until("spire-server", at)), at)
	p.bundle("/var/lib/spire/agent/agent-data.json", f.until("spire-server", at), prepared(f.until("spire-server", at)), at)
}

// bundle is a copy that holds the authorities of the last day and a half before it
// was made.
func (p *page) bundle(name string, copied, newest, at time.Time) {
	labels := []string{"bundle", name, "trust_domain", TrustDomain}
	last := prepared(copied)
	valid, expired := 0, 0
	first := last.Add(authorityLife)
	for made := last; made.After(copied.Add(-2 * day)); made = made.Add(-authorityPeriod) {
		if ends := made.Add(authorityLife); ends.After(at) {
			valid++
			first = ends
		} else {
			expired++
		}
	}
	for state, n := range map[string]int{"valid": valid, "expired": expired, "not_yet_valid": 0, "malformed": 0} {
		p.add("attestation_trust_bundle_authorities", float64(n), append(labels, "state", state)...)
	}
	if valid > 0 {
		p.moments("attestation_trust_bundle_first_expiry_timestamp_seconds", first, labels...)
	}
	p.moments("attestation_trust_bundle_last_expiry_timestamp_seconds", last.Add(authorityLife), labels...)
	p.add("attestation_trust_bundle_last_lifetime_seconds", authorityLife.Seconds(), labels...)
	p.add("attestation_trust_bundle_missing_authorities", float64(newest.Sub(last)/authorityPeriod), labels...)
	p.add("attestation_trust_bundle_tainted_authorities", 0, labels...)
	p.moments("attestation_trust_bundle_modified_timestamp_seconds", copied, "bundle", name)
}

// A clock is a timer of systemd's and how often it elapses.
type clock struct {
	name   string
	period time.Duration
	delay  time.Duration
	fails  string // the fault in which its service fails, on ca
	stops  string // the fault in which it is stopped, on auth
}

func clocks() []clock {
	return []clock{
		{name: "keylime-cert-renewal", period: 12 * time.Hour, fails: "renewal"},
		{name: "spire-trust-bundle-update", period: 6 * time.Hour, delay: time.Hour, stops: "bundle-timer"},
		{name: "keylime-agent-recovery", period: 5 * time.Minute},
		{name: "check-keylime-certs", period: day},
		{name: "renew-keylime-certs", period: day},
	}
}

func (f Fleet) timers(p *page, h host, at time.Time) {
	for i, c := range clocks() {
		timer := []string{"timer", c.name + ".timer"}
		service := append([]string{"service", c.name + ".service"}, timer...)
		stopped := h.name == "auth" && c.stops != "" && f.broken(c.stops, at)
		now := at
		if stopped {
			now = f.until(c.stops, at)
		}
		last := before(now, c.period, time.Duration(i*17+h.number*5)*time.Minute)
		p.claim("attestation_timer_loaded", true, timer...)
		p.claim("attestation_timer_active", !stopped, timer...)
		p.moments("attestation_timer_last_trigger_timestamp_seconds", last, timer...)
		if !stopped {
			p.moments("attestation_timer_next_trigger_timestamp_seconds", last.Add(c.period), timer...)
		}
		p.add("attestation_timer_delay_max_seconds", (c.delay + time.Minute).Seconds(), timer...)
		p.claim("attestation_timer_service_result_success", c.fails == "" || h.name != "ca" || !f.broken(c.fails, at), service...)
		p.claim("attestation_timer_service_running", false, service...)
		p.moments("attestation_timer_service_last_start_timestamp_seconds", last, service...)
		p.moments("attestation_timer_service_last_exit_timestamp_seconds", last.Add(3*time.Second), service...)
	}
}
