package engine_test

import (
	"time"

	"funlab.casa/attestation_exporter/rules/engine/fleet"
)

// renewalFaults are those of certificates, trust bundles and the timers that renew them.
func renewalFaults() []fault {
	return []fault{
		{name: "chain without its intermediate", lasts: 15 * time.Minute, settles: 10 * time.Minute,
			breaks: func(_ *simulation, h *fleet.Host) { h.Certificate(agentFile).Short = true },
			mends:  func(_ *simulation, h *fleet.Host) { h.Certificate(agentFile).Short = false },
			pages:  []page{{alert: "CertificateChainInvalid"}}},
		{name: "certificate of a clock that is ahead", lasts: 15 * time.Minute, settles: 15 * time.Minute,
			breaks: func(s *simulation, h *fleet.Host) {
				c := h.Certificate(agentFile)
				c.From, c.Until = s.begun.Add(time.Hour), s.begun.Add(25*time.Hour)
			},
			mends: func(s *simulation, h *fleet.Host) { h.Timer(renewal).Elapse(s.now) },
			pages: []page{{alert: "CertificateNotYetValid"}}},
		{name: "certificate half written", lasts: 25 * time.Minute, settles: 10 * time.Minute,
			breaks: func(_ *simulation, h *fleet.Host) { h.Certificate(agentFile).Broken = true },
			mends:  func(_ *simulation, h *fleet.Host) { h.Certificate(agentFile).Broken = false },
			pages:  []page{{alert: "CertificateUnreadable"}}},
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
				{alert: "CertificateExpiringSoon", since: func(_ *simulation, h *fleet.Host) time.Time {
					return h.Certificate(agentFile).Line(1.0/3, 7*24*time.Hour)
				}},
				{alert: "CertificateExpiryCritical", since: func(_ *simulation, h *fleet.Host) time.Time {
					return h.Certificate(agentFile).Line(1.0/6, 3*24*time.Hour)
				}},
				{alert: "CertificateExpired", since: func(_ *simulation, h *fleet.Host) time.Time { return h.Certificate(agentFile).Until }},
			}},
		{name: "bundle unreadable", lasts: 20 * time.Minute, settles: 10 * time.Minute,
			breaks: func(_ *simulation, h *fleet.Host) { h.Bundle.Unreadable = true },
			mends:  func(_ *simulation, h *fleet.Host) { h.Bundle.Unreadable = false },
			pages:  []page{{alert: "TrustBundleUnreadable"}}},
		{name: "bundle timer stopped", lasts: 40 * time.Hour, settles: 15 * time.Minute,
			breaks: func(_ *simulation, h *fleet.Host) { h.Timer(bundleTimer).Stopped = true },
			mends: func(s *simulation, h *fleet.Host) {
				h.Timer(bundleTimer).Stopped = false
				h.Timer(bundleTimer).Elapse(s.now)
			},
			pages: []page{
				{alert: "TimerNotRunning"},
				{alert: "TrustBundleOutdated", since: func(s *simulation, h *fleet.Host) time.Time {
					if lacking := h.Bundle.Lacking(s.fleet.Server); !lacking.IsZero() {
						return lacking.Add(7*time.Hour + 30*time.Minute)
					}
					return time.Time{}
				}},
				{alert: "TrustBundleExpiringSoon", since: func(_ *simulation, h *fleet.Host) time.Time { return h.Bundle.Line(1.0 / 6) }},
				{alert: "TrustBundleExpiryCritical", since: func(_ *simulation, h *fleet.Host) time.Time { return h.Bundle.Line(1.0 / 12) }},
				{alert: "TrustBundleUnreadable", since: func(_ *simulation, h *fleet.Host) time.Time { return h.Bundle.Ends() }},
			}},
		{name: "timer overdue", lasts: 6*time.Hour + 10*time.Minute, settles: 15 * time.Minute,
			ready: func(s *simulation, h *fleet.Host) bool {
				return h.Timer("cert-monitor").Next().Sub(s.now) < 5*time.Hour
			},
			breaks: func(_ *simulation, h *fleet.Host) { h.Timer("cert-monitor").Hung = true },
			mends:  func(_ *simulation, h *fleet.Host) { h.Timer("cert-monitor").Hung = false },
			pages: []page{{alert: "TimerOverdue",
				since: func(_ *simulation, h *fleet.Host) time.Time {
					return h.Timer("cert-monitor").Next().Add(10 * time.Minute)
				}}}},
		{name: "service stuck", lasts: 80 * time.Minute, settles: 15 * time.Minute,
			breaks: func(s *simulation, h *fleet.Host) { stuck(h).Stuck = true; stuck(h).Elapse(s.now) },
			mends:  func(_ *simulation, h *fleet.Host) { stuck(h).Stuck = false },
			pages: []page{{alert: "TimerServiceStuck",
				since: func(s *simulation, h *fleet.Host) time.Time { return s.began(stuck(h), time.Hour) }}}},
	}
}

const (
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
