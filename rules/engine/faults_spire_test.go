package engine_test

import (
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
