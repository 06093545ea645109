package engine_test

import (
	"time"

	"funlab.casa/attestation_exporter/rules/engine/fleet"
)

// keylimeFaults are those of agents, verifier and registrar.
func keylimeFaults() []fault {
	return []fault{
		{name: "agent killed", lasts: 20 * time.Minute, settles: 15 * time.Minute,
			breaks: func(_ *simulation, h *fleet.Host) { h.AgentDead = true },
			mends:  func(_ *simulation, h *fleet.Host) { h.AgentDead = false },
			pages:  []page{{alert: "KeylimeLocalAgentDown"}}},
		{name: "agent hangs", lasts: 20 * time.Minute, settles: 15 * time.Minute,
			breaks: func(_ *simulation, h *fleet.Host) { h.AgentHangs = true },
			mends:  func(_ *simulation, h *fleet.Host) { h.AgentHangs = false },
			pages:  []page{{alert: "KeylimeLocalAgentDown"}}},
		{name: "quotes hang", lasts: 15 * time.Minute, settles: 10 * time.Minute,
			breaks: func(_ *simulation, h *fleet.Host) { h.QuotesHang = true },
			mends:  func(_ *simulation, h *fleet.Host) { h.QuotesHang = false },
			pages:  []page{{alert: "KeylimeAttestationStale", since: stale}}},
		{name: "agent out of the verifier's reach", lasts: 40 * time.Minute, settles: 15 * time.Minute,
			breaks: func(_ *simulation, h *fleet.Host) { h.Unreachable = true },
			mends:  func(_ *simulation, h *fleet.Host) { h.Unreachable = false },
			pages:  []page{{alert: "KeylimeAgentGivenUp", since: givenUp}}},
		{name: "agent given up, and no recovery", lasts: 25 * time.Minute, settles: 15 * time.Minute,
			breaks: func(s *simulation, h *fleet.Host) { h.Timer(recovery).Stopped = true; h.Reboot(s.begun) },
			mends:  func(s *simulation, h *fleet.Host) { h.Timer(recovery).Stopped = false; h.Timer(recovery).Elapse(s.now) },
			pages:  []page{{alert: "KeylimeAgentGivenUp", since: givenUp}, {alert: "TimerNotRunning"}}},
		{name: "quote invalid", lasts: 15 * time.Minute, settles: 10 * time.Minute,
			breaks: func(_ *simulation, h *fleet.Host) { h.Refuse() },
			mends:  func(s *simulation, h *fleet.Host) { h.Readmit(s.now) },
			pages:  []page{{alert: "KeylimeIntegrityFailure"}, {alert: "SPIRETrustsFailedAgent"}}},
		{name: "attestation stopped on request", lasts: 20 * time.Minute, settles: 10 * time.Minute,
			breaks: func(_ *simulation, h *fleet.Host) { h.StopAttestation() },
			mends:  func(s *simulation, h *fleet.Host) { h.Readmit(s.now) },
			pages:  []page{{alert: "KeylimeAgentStopped"}, {alert: "SPIRETrustsFailedAgent"}}},
		{name: "verifier down", lasts: 20 * time.Minute, settles: 10 * time.Minute, on: theServers,
			breaks: func(s *simulation, _ *fleet.Host) { s.fleet.Verifier.Down = true },
			mends:  func(s *simulation, _ *fleet.Host) { s.fleet.Verifier.Down = false },
			pages:  []page{{alert: "KeylimeVerifierUnreachable"}}},
		{name: "verifier's database locked", lasts: 20 * time.Minute, settles: 10 * time.Minute, on: theServers,
			breaks: func(s *simulation, _ *fleet.Host) { s.fleet.Verifier.Frozen = true },
			mends:  func(s *simulation, _ *fleet.Host) { s.fleet.Verifier.Frozen = false },
			pages:  []page{{alert: "KeylimeNobodyAttested", since: stale}}},
		{name: "registrar down", lasts: 20 * time.Minute, settles: 10 * time.Minute, on: theServers,
			breaks: func(s *simulation, _ *fleet.Host) { s.fleet.Verifier.RegistrarDown = true },
			mends:  func(s *simulation, _ *fleet.Host) { s.fleet.Verifier.RegistrarDown = false },
			pages:  []page{{alert: "KeylimeRegistrarUnreachable"}}},
		{name: "agent unknown to the verifier", lasts: 75 * time.Minute, settles: 10 * time.Minute, on: theServers,
			breaks: func(s *simulation, _ *fleet.Host) { s.fleet.Verifier.Stray = []string{strayAgent} },
			mends:  func(s *simulation, _ *fleet.Host) { s.fleet.Verifier.Stray = nil },
			pages:  []page{{alert: "KeylimeAgentNotVerified", host: strayAgent}}},
		{name: "default UUID", lasts: 15 * time.Minute, settles: 10 * time.Minute,
			breaks: func(s *simulation, h *fleet.Host) {
				h.Claims = defaultAgent
				s.fleet.Verifier.Stray = []string{defaultAgent}
			},
			mends: func(s *simulation, h *fleet.Host) { h.Claims = ""; s.fleet.Verifier.Stray = nil },
			pages: []page{{alert: "KeylimeDefaultUUID"}}},
		{name: "default UUID on two hosts", lasts: 15 * time.Minute, settles: 15 * time.Minute,
			on: func(f *fleet.Fleet) *fleet.Host { return f.Auth },
			breaks: func(s *simulation, h *fleet.Host) {
				h.Claims, s.fleet.CA.Claims = defaultAgent, defaultAgent
				s.fleet.Verifier.Stray = []string{defaultAgent}
			},
			mends: func(s *simulation, h *fleet.Host) {
				h.Claims, s.fleet.CA.Claims = "", ""
				s.fleet.Verifier.Stray = nil
			},
			pages: []page{
				{alert: "KeylimeDefaultUUID"}, {alert: "KeylimeDefaultUUID", host: "ca.funlab.casa"},
				{alert: "KeylimeAgentClaimedTwice", host: defaultAgent},
			}},
		{name: "one id on two hosts", lasts: 15 * time.Minute, settles: 15 * time.Minute,
			on:     func(f *fleet.Fleet) *fleet.Host { return f.Auth },
			breaks: func(s *simulation, h *fleet.Host) { h.Claims = s.fleet.CA.AgentID },
			mends:  func(_ *simulation, h *fleet.Host) { h.Claims = "" },
			pages: []page{{alert: "KeylimeAgentClaimedTwice",
				host: "11111111-0000-4000-8000-000000000003"}}},
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
			pages: []page{{alert: "CertificateExpired"}, {alert: "KeylimeVerifierUnreachable"}}},
	}
}

const (
	strayAgent = "99999999-0000-4000-8000-000000000009"
	agentFile  = "/etc/keylime/certs/agent.crt"
	recovery   = "keylime-agent-recovery"
	// The UUID of Keylime's shipped configuration.
	defaultAgent = "d432fbb3-d2f1-4a97-9ef7-75bd81c00000"
)

// stale is when the last success before the fault was too old.
func stale(s *simulation, _ *fleet.Host) time.Time { return s.begun.Add(time.Minute) }

// givenUp is when the verifier stopped asking.
func givenUp(s *simulation, h *fleet.Host) time.Time { return s.after(h.GivenUp()) }
