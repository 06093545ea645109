package engine_test

import (
	"slices"
	"time"

	"funlab.casa/attestation_exporter/rules/engine/fleet"
)

// spireFaults are those of the SPIRE server and its agents.
func spireFaults() []fault {
	return []fault{
		{name: "SPIRE server stopped", lasts: 7 * time.Minute, settles: 15 * time.Minute, on: theServers,
			breaks: func(s *simulation, _ *fleet.Host) { s.fleet.Server.Down = true },
			mends:  func(s *simulation, _ *fleet.Host) { s.fleet.Server.Down = false },
			pages:  []page{{alert: "SPIREServerDown"}}},
		{name: "SPIRE agent stopped", lasts: 7 * time.Minute, settles: 15 * time.Minute,
			breaks: func(_ *simulation, h *fleet.Host) { h.SPIREAgentDown = true },
			mends:  func(_ *simulation, h *fleet.Host) { h.SPIREAgentDown = false },
			pages:  []page{{alert: "SPIREAgentDown"}}},
		{name: "SPIRE server stopped for a day", lasts: 26 * time.Hour, settles: 20 * time.Minute, on: theServers,
			breaks: func(s *simulation, _ *fleet.Host) { s.fleet.Server.Down = true },
			mends: func(s *simulation, _ *fleet.Host) {
				s.fleet.Server.Down = false
				for _, h := range s.fleet.Hosts() { // Without a copy that is valid no agent comes back.
					h.Timer(bundleTimer).Elapse(s.now)
				}
			},
			// Of the endpoint of the bundle, which doesn't say whose it is.
			pages: []page{{alert: "SPIREServerDown"}, {alert: "CertificateUnreadable"}},
			hidden: []string{
				"SPIREAgentNotSyncing", "SPIREAgentDown", "CertificateExpiringSoon", "CertificateExpiryCritical", "CertificateExpired",
				"TrustBundleExpiringSoon", "TrustBundleExpiryCritical", "TrustBundleUnreadable",
			}},
		{name: "one of two SPIRE servers stopped", lasts: 7 * time.Minute, settles: 15 * time.Minute, standby: true,
			on:     func(f *fleet.Fleet) *fleet.Host { return f.CA },
			breaks: func(_ *simulation, h *fleet.Host) { h.StandbyDown = true },
			mends:  func(_ *simulation, h *fleet.Host) { h.StandbyDown = false },
			pages:  []page{{alert: "SPIREServerOneDown"}}},
		{name: "agent cut off from the SPIRE server", lasts: 90 * time.Minute, settles: 15 * time.Minute,
			breaks: func(_ *simulation, h *fleet.Host) { h.CutOff = true },
			mends:  func(_ *simulation, h *fleet.Host) { h.CutOff = false },
			pages: []page{
				{alert: "SPIREAgentNotSyncing", since: func(s *simulation, _ *fleet.Host) time.Time { return s.begun.Add(5 * time.Minute) }},
				{alert: "SPIREAgentDown", since: func(_ *simulation, h *fleet.Host) time.Time { return h.Identity().Until }},
			},
			hidden: []string{"SPIREAgentNotRenewing", "SPIREAgentExpired", "CertificateExpiringSoon", "CertificateExpiryCritical", "CertificateExpired"}},
		{name: "agent banned", lasts: 90 * time.Minute, settles: 15 * time.Minute,
			breaks: func(_ *simulation, h *fleet.Host) { h.Banned = true },
			mends:  func(_ *simulation, h *fleet.Host) { h.Banned = false },
			pages:  []page{{alert: "SPIREAgentDown"}}},
		{name: "agent ended on a host without an exporter", lasts: 90 * time.Minute, settles: 15 * time.Minute, on: theServers,
			breaks: func(s *simulation, _ *fleet.Host) { s.fleet.Server.Guest = s.begun.Add(time.Hour) },
			mends:  func(s *simulation, _ *fleet.Host) { s.fleet.Server.Guest = time.Time{} },
			pages: []page{
				{alert: "SPIREAgentNotRenewing", host: fleet.GuestAgent, since: func(s *simulation, _ *fleet.Host) time.Time { return s.begun.Add(48 * time.Minute) }},
				{alert: "SPIREAgentExpired", host: fleet.GuestAgent, since: func(s *simulation, _ *fleet.Host) time.Time { return s.begun.Add(time.Hour) }},
			}},
		{name: "authority tainted", lasts: 25 * time.Minute, settles: 10 * time.Minute, on: theServers,
			breaks: func(s *simulation, _ *fleet.Host) { s.fleet.Server.Taint() },
			mends:  func(s *simulation, _ *fleet.Host) { s.fleet.Server.Untaint() },
			// Of the copy in the file and of the agent's own, which come in one mail.
			pages: slices.Repeat([]page{
				{alert: "TrustBundleOutdated"}, {alert: "TrustBundleOutdated", host: "auth.funlab.casa"}, {alert: "TrustBundleOutdated", host: "ca.funlab.casa"},
			}, 2)},
		{name: "join token used", lasts: 25 * time.Minute, settles: 10 * time.Minute, on: theServers,
			breaks: func(s *simulation, _ *fleet.Host) { s.fleet.Server.Unwanted = 1 },
			mends:  func(s *simulation, _ *fleet.Host) { s.fleet.Server.Unwanted = 0 },
			pages:  []page{{alert: "SPIREUnwantedAttestation", host: fleet.TrustDomain}}},
		{name: "plugin rebuilt", lasts: 15 * time.Minute, settles: 10 * time.Minute,
			breaks: func(_ *simulation, h *fleet.Host) { h.PluginRebuilt = true },
			mends:  func(_ *simulation, h *fleet.Host) { h.PluginRebuilt = false },
			pages:  []page{{alert: "SPIREPluginChecksumMismatch"}}},
		{name: "authority not rotated", lasts: 5*time.Hour + 30*time.Minute, settles: 15 * time.Minute, on: theServers,
			ready: func(s *simulation, _ *fleet.Host) bool {
				return s.fleet.Server.Rotating() && s.fleet.Server.Line().Sub(s.now) < 5*time.Hour
			},
			breaks: func(s *simulation, _ *fleet.Host) { s.fleet.Server.Stalled = true },
			mends:  func(s *simulation, _ *fleet.Host) { s.fleet.Server.Stalled = false },
			// Of both its types, which come in one notification.
			pages: []page{authority(), authority()}},
	}
}

func authority() page {
	return page{
		alert: "SPIREAuthorityNotRotated",
		since: func(s *simulation, _ *fleet.Host) time.Time { return s.fleet.Server.Line() },
	}
}
