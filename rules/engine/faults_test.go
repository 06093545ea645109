package engine_test

import (
	"time"

	"funlab.casa/attestation_exporter/rules/engine/fleet"
)

// A fault is put into one host, and taken out again.
type fault struct {
	name   string
	breaks func(*simulation, *fleet.Host)
	mends  func(*simulation, *fleet.Host)
	// Lasts is how long it stays, and settles how long its alerts may stay after.
	lasts, settles time.Duration
	// Stays is an event, which is shown for a day whatever is done, so that a second
	// one of the same host within the day tells nothing new.
	stays bool
	// On says which hosts it can be on; none is any but that of the servers.
	on func(*fleet.Fleet) *fleet.Host
	// Ready says when it can be put in; none is at any time.
	ready func(*simulation, *fleet.Host) bool
	pages []page
}

// A page is one notification that must arrive.
type page struct {
	alert string
	// Waits is what the table of alerts states: the alert's own wait.
	waits time.Duration
	// Host is whose alert it is; none is the faulty host's.
	host string
	// Since is when the symptom began; none is when the fault did. It is asked at
	// every minute until it is there.
	since func(*simulation, *fleet.Host) time.Time
}

func theServers(f *fleet.Fleet) *fleet.Host { return f.Spire }

const strayAgent = "99999999-0000-4000-8000-000000000009"

func authority() page {
	return page{
		alert: "SPIREAuthorityNotRotated", waits: 5 * time.Minute,
		since: func(s *simulation, _ *fleet.Host) time.Time { return s.fleet.Server.Line() },
	}
}

// faults are all of the contract's table, and what else the fleet can show.
func faults() []fault {
	return []fault{
		{name: "host gone", lasts: 25 * time.Minute, settles: 20 * time.Minute,
			breaks: func(_ *simulation, h *fleet.Host) { h.SwitchOff() },
			mends:  func(s *simulation, h *fleet.Host) { h.SwitchOn(s.now) },
			pages:  []page{{alert: "AttestationExporterDown", waits: 3 * time.Minute}}},
		{name: "TPM wedged", lasts: 20 * time.Minute, settles: 10 * time.Minute,
			breaks: func(_ *simulation, h *fleet.Host) { h.TPMWedged = true },
			mends:  func(_ *simulation, h *fleet.Host) { h.TPMWedged = false },
			pages:  []page{{alert: "TPMUnavailable", waits: 2 * time.Minute}}},
		{name: "PCR 7 extended at run time", lasts: 15 * time.Minute, settles: 20 * time.Minute,
			breaks: func(_ *simulation, h *fleet.Host) { h.PCR7Extended = true; h.Refuse() },
			mends:  func(s *simulation, h *fleet.Host) { h.Reboot(s.now); h.Readmit(s.now) },
			pages: []page{{alert: "TPMPCRChangedWhileRunning"}, {alert: "KeylimeIntegrityFailure"},
				{alert: "SPIRETrustsFailedAgent", waits: 5 * time.Minute}}},
		{name: "kernel or boot loader replaced", lasts: 25 * time.Minute, settles: 10 * time.Minute,
			breaks: func(_ *simulation, h *fleet.Host) { h.Install() },
			mends:  func(_ *simulation, h *fleet.Host) { h.Restore() },
			pages:  []page{{alert: "DiskUnlockAtRisk", waits: 15 * time.Minute}}},
		{name: "agent killed", lasts: 20 * time.Minute, settles: 15 * time.Minute,
			breaks: func(_ *simulation, h *fleet.Host) { h.AgentDead = true },
			mends:  func(_ *simulation, h *fleet.Host) { h.AgentDead = false },
			pages:  []page{{alert: "KeylimeLocalAgentDown", waits: 2 * time.Minute}}},
		{name: "agent hangs", lasts: 20 * time.Minute, settles: 15 * time.Minute,
			breaks: func(_ *simulation, h *fleet.Host) { h.AgentHangs = true },
			mends:  func(_ *simulation, h *fleet.Host) { h.AgentHangs = false },
			pages:  []page{{alert: "KeylimeLocalAgentDown", waits: 2 * time.Minute}}},
		{name: "quote invalid", lasts: 15 * time.Minute, settles: 10 * time.Minute,
			breaks: func(_ *simulation, h *fleet.Host) { h.Refuse() },
			mends:  func(s *simulation, h *fleet.Host) { h.Readmit(s.now) },
			pages:  []page{{alert: "KeylimeIntegrityFailure"}, {alert: "SPIRETrustsFailedAgent", waits: 5 * time.Minute}}},
		{name: "attestation stopped on request", lasts: 20 * time.Minute, settles: 10 * time.Minute,
			breaks: func(_ *simulation, h *fleet.Host) { h.StopAttestation() },
			mends:  func(s *simulation, h *fleet.Host) { h.Readmit(s.now) },
			pages:  []page{{alert: "KeylimeAgentStopped", waits: 10 * time.Minute}, {alert: "SPIRETrustsFailedAgent", waits: 5 * time.Minute}}},
		{name: "verifier down", lasts: 20 * time.Minute, settles: 10 * time.Minute, on: theServers,
			breaks: func(s *simulation, _ *fleet.Host) { s.fleet.Verifier.Down = true },
			mends:  func(s *simulation, _ *fleet.Host) { s.fleet.Verifier.Down = false },
			pages:  []page{{alert: "KeylimeVerifierUnreachable", waits: 3 * time.Minute}}},
		{name: "verifier's database locked", lasts: 20 * time.Minute, settles: 10 * time.Minute, on: theServers,
			breaks: func(s *simulation, _ *fleet.Host) { s.fleet.Verifier.Frozen = true },
			mends:  func(s *simulation, _ *fleet.Host) { s.fleet.Verifier.Frozen = false },
			pages: []page{{alert: "KeylimeNobodyAttested", waits: 3 * time.Minute,
				since: func(s *simulation, _ *fleet.Host) time.Time { return s.begun.Add(time.Minute) }}}},
		{name: "registrar down", lasts: 20 * time.Minute, settles: 10 * time.Minute, on: theServers,
			breaks: func(s *simulation, _ *fleet.Host) { s.fleet.Verifier.RegistrarDown = true },
			mends:  func(s *simulation, _ *fleet.Host) { s.fleet.Verifier.RegistrarDown = false },
			pages:  []page{{alert: "KeylimeRegistrarUnreachable", waits: 10 * time.Minute}}},
		{name: "agent unknown to the verifier", lasts: 75 * time.Minute, settles: 10 * time.Minute, on: theServers,
			breaks: func(s *simulation, _ *fleet.Host) { s.fleet.Verifier.Stray = []string{strayAgent} },
			mends:  func(s *simulation, _ *fleet.Host) { s.fleet.Verifier.Stray = nil },
			pages:  []page{{alert: "KeylimeAgentNotVerified", waits: time.Hour, host: strayAgent}}},
		{name: "one id on two hosts", lasts: 15 * time.Minute, settles: 15 * time.Minute,
			on:     func(f *fleet.Fleet) *fleet.Host { return f.Auth },
			breaks: func(s *simulation, h *fleet.Host) { h.Claims = s.fleet.CA.AgentID },
			mends:  func(_ *simulation, h *fleet.Host) { h.Claims = "" },
			pages: []page{{alert: "KeylimeAgentClaimedTwice", waits: 5 * time.Minute,
				host: "11111111-0000-4000-8000-000000000003"}}},
		{name: "SPIRE server stopped", lasts: 7 * time.Minute, settles: 15 * time.Minute, on: theServers,
			breaks: func(s *simulation, _ *fleet.Host) { s.fleet.Server.Down = true },
			mends:  func(s *simulation, _ *fleet.Host) { s.fleet.Server.Down = false },
			pages:  []page{{alert: "SPIREServerDown", waits: 3 * time.Minute}}},
		{name: "SPIRE agent stopped", lasts: 7 * time.Minute, settles: 15 * time.Minute,
			breaks: func(_ *simulation, h *fleet.Host) { h.SPIREAgentDown = true },
			mends:  func(_ *simulation, h *fleet.Host) { h.SPIREAgentDown = false },
			pages:  []page{{alert: "SPIREAgentDown", waits: 3 * time.Minute}}},
		{name: "join token used", lasts: 25 * time.Minute, settles: 10 * time.Minute, on: theServers,
			breaks: func(s *simulation, _ *fleet.Host) { s.fleet.Server.Unwanted = 1 },
			mends:  func(s *simulation, _ *fleet.Host) { s.fleet.Server.Unwanted = 0 },
			pages:  []page{{alert: "SPIREUnwantedAttestation", waits: 15 * time.Minute, host: fleet.TrustDomain}}},
		{name: "plugin rebuilt", lasts: 15 * time.Minute, settles: 10 * time.Minute,
			breaks: func(_ *simulation, h *fleet.Host) { h.PluginRebuilt = true },
			mends:  func(_ *simulation, h *fleet.Host) { h.PluginRebuilt = false },
			pages:  []page{{alert: "SPIREPluginChecksumMismatch", waits: 5 * time.Minute}}},
		{name: "authority not rotated", lasts: 5*time.Hour + 30*time.Minute, settles: 15 * time.Minute, on: theServers,
			ready: func(s *simulation, _ *fleet.Host) bool {
				return s.fleet.Server.Rotating() && s.fleet.Server.Line().Sub(s.now) < 5*time.Hour
			},
			breaks: func(s *simulation, _ *fleet.Host) { s.fleet.Server.Stalled = true },
			mends:  func(s *simulation, _ *fleet.Host) { s.fleet.Server.Stalled = false },
			// Of both its types, which come in one notification.
			pages: []page{authority(), authority()}},
		{name: "chain without its intermediate", lasts: 15 * time.Minute, settles: 10 * time.Minute,
			breaks: func(_ *simulation, h *fleet.Host) { h.Certificate(agentFile).Short = true },
			mends:  func(_ *simulation, h *fleet.Host) { h.Certificate(agentFile).Short = false },
			pages:  []page{{alert: "CertificateChainInvalid", waits: 5 * time.Minute}}},
		{name: "certificate half written", lasts: 25 * time.Minute, settles: 10 * time.Minute,
			breaks: func(_ *simulation, h *fleet.Host) { h.Certificate(agentFile).Broken = true },
			mends:  func(_ *simulation, h *fleet.Host) { h.Certificate(agentFile).Broken = false },
			pages:  []page{{alert: "CertificateUnreadable", waits: 15 * time.Minute}}},
		{name: "TPM cleared", lasts: 15 * time.Minute, settles: 10 * time.Minute, stays: true,
			breaks: func(_ *simulation, h *fleet.Host) { h.Clear() },
			mends:  func(_ *simulation, _ *fleet.Host) {},
			pages:  []page{{alert: "TPMCleared"}}},
		{name: "TPM locked out", lasts: 15 * time.Minute, settles: 10 * time.Minute,
			breaks: func(_ *simulation, h *fleet.Host) { h.LockedOut = true },
			mends:  func(_ *simulation, h *fleet.Host) { h.LockedOut = false },
			pages:  []page{{alert: "TPMLockedOut"}}},
		{name: "wrong PINs", lasts: 15 * time.Minute, settles: 70 * time.Minute,
			breaks: func(_ *simulation, h *fleet.Host) { h.Guess(3) },
			mends:  func(_ *simulation, _ *fleet.Host) {},
			pages:  []page{{alert: "TPMAuthorizationFailures"}}},
		{name: "TPM in failure mode", lasts: 15 * time.Minute, settles: 10 * time.Minute,
			breaks: func(_ *simulation, h *fleet.Host) { h.SelfTestFailed = true },
			mends:  func(_ *simulation, h *fleet.Host) { h.SelfTestFailed = false },
			pages:  []page{{alert: "TPMSelfTestFailed"}}},
		{name: "Secure Boot off", lasts: 15 * time.Minute, settles: 10 * time.Minute,
			breaks: func(_ *simulation, h *fleet.Host) { h.SecureBootOff = true },
			mends:  func(_ *simulation, h *fleet.Host) { h.SecureBootOff = false },
			pages:  []page{{alert: "SecureBootTurnedOff"}}},
		{name: "disk bound to another boot", lasts: 20 * time.Minute, settles: 10 * time.Minute,
			breaks: func(_ *simulation, h *fleet.Host) { h.Unbind() },
			mends:  func(_ *simulation, h *fleet.Host) { h.Bind() },
			pages:  []page{{alert: "DiskUnlockWillFail", waits: 5 * time.Minute}}},
		{name: "bundle unreadable", lasts: 20 * time.Minute, settles: 10 * time.Minute,
			breaks: func(_ *simulation, h *fleet.Host) { h.Bundle.Unreadable = true },
			mends:  func(_ *simulation, h *fleet.Host) { h.Bundle.Unreadable = false },
			pages:  []page{{alert: "TrustBundleUnreadable", waits: 5 * time.Minute}}},
		{name: "a collector gone", lasts: 20 * time.Minute, settles: 15 * time.Minute,
			breaks: func(_ *simulation, h *fleet.Host) { h.Without["luks"] = true },
			mends:  func(_ *simulation, h *fleet.Host) { delete(h.Without, "luks") },
			pages:  []page{{alert: "AttestationCollectorFailing", waits: 10 * time.Minute}}},
		{name: "timer overdue", lasts: 6*time.Hour + 10*time.Minute, settles: 15 * time.Minute,
			ready: func(s *simulation, h *fleet.Host) bool {
				return h.Timer("cert-monitor").Next().Sub(s.now) < 5*time.Hour
			},
			breaks: func(_ *simulation, h *fleet.Host) { h.Timer("cert-monitor").Hung = true },
			mends:  func(_ *simulation, h *fleet.Host) { h.Timer("cert-monitor").Hung = false },
			pages: []page{{alert: "TimerOverdue", waits: 2 * time.Minute,
				since: func(_ *simulation, h *fleet.Host) time.Time {
					return h.Timer("cert-monitor").Next().Add(10 * time.Minute)
				}}}},
		{name: "service stuck", lasts: 80 * time.Minute, settles: 15 * time.Minute,
			breaks: func(s *simulation, h *fleet.Host) { stuck(h).Stuck = true; stuck(h).Elapse(s.now) },
			mends:  func(_ *simulation, h *fleet.Host) { stuck(h).Stuck = false },
			pages: []page{{alert: "TimerServiceStuck",
				since: func(s *simulation, h *fleet.Host) time.Time { return s.began(stuck(h), time.Hour) }}}},
		{name: "bundle timer stopped", lasts: 40 * time.Hour, settles: 15 * time.Minute,
			breaks: func(_ *simulation, h *fleet.Host) { h.Timer(bundleTimer).Stopped = true },
			mends: func(s *simulation, h *fleet.Host) {
				h.Timer(bundleTimer).Stopped = false
				h.Timer(bundleTimer).Elapse(s.now)
			},
			pages: []page{
				{alert: "TimerNotRunning", waits: 15 * time.Minute},
				{alert: "TrustBundleOutdated", waits: 15 * time.Minute, since: func(s *simulation, h *fleet.Host) time.Time {
					if lacking := h.Bundle.Lacking(s.fleet.Server); !lacking.IsZero() {
						return lacking.Add(7*time.Hour + 30*time.Minute)
					}
					return time.Time{}
				}},
				{alert: "TrustBundleExpiringSoon", waits: 5 * time.Minute, since: func(_ *simulation, h *fleet.Host) time.Time { return h.Bundle.Line(1.0 / 6) }},
				{alert: "TrustBundleExpiryCritical", waits: 5 * time.Minute, since: func(_ *simulation, h *fleet.Host) time.Time { return h.Bundle.Line(1.0 / 12) }},
				{alert: "TrustBundleUnreadable", waits: 5 * time.Minute, since: func(_ *simulation, h *fleet.Host) time.Time { return h.Bundle.Ends() }},
			}},
		{name: "renewal service fails", lasts: 25 * time.Hour, settles: 15 * time.Minute,
			breaks: func(s *simulation, h *fleet.Host) {
				h.Timer(renewal).Failing = true
				h.Timer(renewal).Elapse(s.now)
			},
			mends: func(s *simulation, h *fleet.Host) {
				h.Timer(renewal).Failing = false
				h.Timer(renewal).Elapse(s.now)
			},
			pages: []page{
				{alert: "TimerServiceFailed", since: func(s *simulation, h *fleet.Host) time.Time { return s.began(h.Timer(renewal), 0) }},
				{alert: "CertificateExpiringSoon", waits: 2 * time.Minute, since: func(_ *simulation, h *fleet.Host) time.Time {
					return h.Certificate(agentFile).Line(1.0/3, 7*24*time.Hour)
				}},
				{alert: "CertificateExpiryCritical", waits: time.Minute, since: func(_ *simulation, h *fleet.Host) time.Time {
					return h.Certificate(agentFile).Line(1.0/6, 3*24*time.Hour)
				}},
				{alert: "CertificateExpired", since: func(_ *simulation, h *fleet.Host) time.Time { return h.Certificate(agentFile).Until }},
			}},
		{name: "exporter's certificate for the verifier expired", lasts: 15 * time.Minute, settles: 10 * time.Minute, on: theServers,
			breaks: func(s *simulation, h *fleet.Host) {
				c := h.Certificate("/etc/keylime/certs/registrar.crt")
				c.From, c.Until = s.now.Add(-24*time.Hour), s.now
				s.fleet.Verifier.Down = true
			},
			mends: func(s *simulation, h *fleet.Host) {
				h.Timer(renewal).Elapse(s.now)
				s.fleet.Verifier.Down = false
			},
			pages: []page{{alert: "CertificateExpired"}, {alert: "KeylimeVerifierUnreachable", waits: 3 * time.Minute}}},
	}
}

const (
	agentFile   = "/etc/keylime/certs/agent.crt"
	bundleTimer = "spire-trust-bundle-update"
	renewal     = "keylime-cert-renewal"
)

// stuck is the timer whose service is let hang: nothing else depends on it.
func stuck(h *fleet.Host) *fleet.Timer { return h.Timer("keylime-gc") }

// began is a while after the begin of the timer's first run since the fault.
func (s *simulation) began(timer *fleet.Timer, after time.Duration) time.Time {
	if timer.Began().Before(s.begun.Add(-interval)) {
		return time.Time{}
	}
	return timer.Began().Add(after)
}
