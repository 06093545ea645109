package fleet

import (
	"fmt"
	"time"
)

// A Host is one machine: its boots, its chip and disk, its agents, certificates
// and timers.
type Host struct {
	Name, AgentID string
	Timers        []*Timer
	Certificates  []*Certificate
	Bundle        *Bundle

	// What may be wrong with it. Gone is a host that doesn't answer, Unseen one whose
	// exporter alone doesn't.
	Gone, Unseen                            bool
	TPMWedged, AgentDead, AgentHangs        bool
	SPIREAgentDown, PluginRebuilt           bool
	PCR7Extended, LockedOut, SelfTestFailed bool
	SecureBootOff, LogCutShort              bool
	// NoPassphrase is a disk that only its TPM opens.
	NoPassphrase bool
	// ReaderDown is an exporter whose privileged half doesn't answer.
	ReaderDown bool
	// QuotesHang is an agent that shakes hands and finishes no quote, Unreachable one
	// that the verifier can't reach.
	QuotesHang, Unreachable bool
	// CutOff can't reach the SPIRE server, Banned is refused by it.
	CutOff, Banned bool
	// Claims is an agent id that isn't the host's own.
	Claims string
	// Standby has a second SPIRE server and a second verifier, on the datastores of
	// the first ones. StandbyDown is that server without an answer.
	Standby, StandbyDown bool
	// Without are collectors that the exporter no longer has.
	Without map[string]bool

	fleet *Fleet
	boots int
	// Off until back, by a reboot; the next one is planned.
	off, back, reboot time.Time
	clock             time.Duration // the error of its clock
	clockStep         time.Time     // when the clock is next put right, or wrong
	boot
	keylimeAgent
	svid     *Certificate
	cached   *Bundle
	lastSync time.Time
}

// keylimeAgent is the agent as its verifier has it.
type keylimeAgent struct {
	state, attested                int
	added, lastAnswer, lastSuccess time.Time
	givenUp                        time.Time
}

func newHost(f *Fleet, name, agent string, start time.Time) *Host {
	h := &Host{Name: name, AgentID: agent, fleet: f, boots: 40, Without: map[string]bool{}}
	h.added = start.Add(-48 * time.Hour)
	h.state, h.lastAnswer, h.lastSuccess = GetQuote, start, start
	h.measurements = 3000
	h.TakeBaseline(start.Add(-30 * 24 * time.Hour))
	h.planReboot(start)
	h.planUpdate(start)
	h.clockStep = start.Add(f.between(0, 4*24*time.Hour))
	h.healAt = start.Add(f.between(0, 2*24*time.Hour))
	h.svid = h.certify("agent_svid", h.spiffeID(), svidLife, 0.5, 0.1, start)
	h.certify("file", "/etc/keylime/certs/agent.crt", 24*time.Hour, 0, 0, start).authority = "/etc/keylime/certs/ca-root-only.crt"
	h.certify("file", "/etc/keylime/certs/ca-complete-chain.crt", 3*365*24*time.Hour, 0, 0, start)
	devid := h.certify("file", "/var/lib/tpm2-devid/devid.crt", 90*24*time.Hour, 2.0/3, 0, start)
	devid.renewAt = start.Add(f.between(0, 60*24*time.Hour))
	devid.From = devid.renewAt.Add(-60 * 24 * time.Hour)
	devid.Until = devid.From.Add(devid.life)
	ek := h.certify("ek", "0x1c00002", 15*365*24*time.Hour, 0, 0, start)
	ek.From, ek.Until = time.Date(2017, 6, 1, 0, 0, 0, 0, time.UTC), time.Date(2032, 6, 1, 0, 0, 0, 0, time.UTC)
	h.Bundle = &Bundle{Name: "/etc/spire/trust-bundle.pem"}
	h.cached = &Bundle{Name: "agent-data"}
	for _, b := range []*Bundle{h.Bundle, h.cached} {
		b.refresh(f.Server, start)
	}
	h.Timers = h.timers(start)
	return h
}

func (h *Host) certify(kind, name string, life time.Duration, share, jitter float64, at time.Time) *Certificate {
	c := &Certificate{Kind: kind, Name: name, life: life, share: share, jitter: jitter}
	c.issue(h.fleet, at)
	h.Certificates = append(h.Certificates, c)
	return c
}

// serve adds what only the host of the servers has.
func (h *Host) serve(start time.Time) {
	for _, name := range []string{"verifier", "registrar"} {
		h.certify("file", "/etc/keylime/certs/"+name+".crt", 24*time.Hour, 0, 0, start).authority = "/etc/keylime/certs/ca-root-only.crt"
	}
	h.certify("endpoint", bundleEndpoint, svidLife, 0.5, 0.1, start)
	h.certify("svid", "spiffe://funlab.casa/openbao", svidLife, 0.5, 0.1, start)
}

// issue adds what only the host of step-ca has.
func (h *Host) issue(start time.Time) {
	h.certify("svid", "spiffe://funlab.casa/step-ca", svidLife, 0.5, 0.1, start)
	h.certify("endpoint", "ca.funlab.casa:9000", 24*time.Hour, 2.0/3, 0, start)
}

func (h *Host) timers(start time.Time) []*Timer {
	f := h.fleet
	timers := []*Timer{
		{Name: "cert-monitor.timer", service: "cert-monitor.service", calendar: f.daily(0, 15, 6)},
		{Name: "spire-trust-bundle-update.timer", service: "spire-trust-bundle-update.service", calendar: f.daily(0, 0, 6), delay: time.Hour, persistent: true,
			job: h.refreshBundle},
		{Name: "check-keylime-certs.timer", service: "check-keylime-certs.service", calendar: f.daily(0, 0, 24)},
		{Name: "renew-keylime-certs.timer", service: "renew-keylime-certs.service", calendar: f.daily(0, 49, 24)},
		{Name: "keylime-cert-renewal.timer", service: "keylime-cert-renewal.service", onBoot: 10 * time.Minute, period: 12 * time.Hour, job: h.renewKeylime},
		{Name: "keylime-gc.timer", service: "keylime-gc.service", calendar: f.daily(2, 30, 24), persistent: true},
		{Name: "keylime-agent-recovery.timer", service: "keylime-agent-recovery.service", onBoot: time.Minute, period: 5 * time.Minute, job: h.recover},
	}
	for _, t := range timers {
		t.atMost = 20 * time.Second
		if t.calendar != nil {
			t.plan(f, start)
			continue
		}
		t.next = start.Add(f.between(0, t.period))
	}
	return timers
}

// Timer is the timer with that name.
func (h *Host) Timer(name string) *Timer {
	for _, t := range h.Timers {
		if t.Name == name+".timer" {
			return t
		}
	}
	panic(fmt.Sprintf("%s has no timer %s", h.Name, name))
}

// Certificate is the certificate with that name.
func (h *Host) Certificate(name string) *Certificate {
	for _, c := range h.Certificates {
		if c.Name == name {
			return c
		}
	}
	panic(fmt.Sprintf("%s has no certificate %s", h.Name, name))
}

// renewKeylime is what keylime-cert-renewal does.
func (h *Host) renewKeylime(at time.Time) {
	for _, c := range h.Certificates {
		if c.Kind == "file" && c.life == 24*time.Hour {
			c.issue(h.fleet, at)
		}
	}
}

// recover is what keylime-agent-recovery does: an agent that was given up, and
// answers on its own host, is added anew.
func (h *Host) recover(at time.Time) {
	if h.state == Failed && !h.AgentDead && h.fleet.Verifier.asking(at) {
		h.Readmit(at)
	}
}

// Identity is the SPIRE agent's own SVID.
func (h *Host) Identity() *Certificate { return h.svid }

// Instance is the address of the host's exporter.
func (h *Host) Instance() string { return h.Name + ":10247" }

func (h *Host) up(now time.Time) bool {
	return h == nil || !h.Gone && (now.Before(h.off) || !now.Before(h.back))
}

// stamp is a moment as the host's own clock tells it.
func (h *Host) stamp(t time.Time) float64 { return unix(t.Add(h.clock)) }

func (h *Host) step(now time.Time) {
	if !h.reboot.After(now) {
		h.Reboot(now)
	}
	if !h.up(now) {
		return
	}
	if !h.back.IsZero() {
		h.started(h.back)
		h.off, h.back = time.Time{}, time.Time{}
	}
	if !h.clockStep.After(now) {
		h.clock = h.fleet.between(-2*time.Second, 2*time.Second)
		h.clockStep = now.Add(h.fleet.between(time.Hour, 5*24*time.Hour))
	}
	h.stepBoot(now)
	h.stepSPIRE(now)
	for _, t := range h.Timers {
		t.step(h.fleet, now)
	}
}
