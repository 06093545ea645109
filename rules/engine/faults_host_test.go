package engine_test

import (
	"time"

	"funlab.casa/attestation_exporter/rules/engine/fleet"
)

// hostFaults are those of a machine, its exporter, TPM, boot and disk.
func hostFaults() []fault {
	return []fault{
		{name: "host gone", lasts: 25 * time.Minute, settles: 20 * time.Minute,
			breaks: func(_ *simulation, h *fleet.Host) { h.SwitchOff() },
			mends:  func(s *simulation, h *fleet.Host) { h.SwitchOn(s.now) },
			pages:  []page{{alert: "AttestationExporterDown"}}},
		{name: "a collector gone", lasts: 20 * time.Minute, settles: 15 * time.Minute,
			breaks: func(_ *simulation, h *fleet.Host) { h.Without["luks"] = true },
			mends:  func(_ *simulation, h *fleet.Host) { delete(h.Without, "luks") },
			pages:  []page{{alert: "AttestationCollectorFailing"}}},
		{name: "TPM wedged", lasts: 20 * time.Minute, settles: 10 * time.Minute,
			breaks: func(_ *simulation, h *fleet.Host) { h.TPMWedged = true },
			mends:  func(_ *simulation, h *fleet.Host) { h.TPMWedged = false },
			pages:  []page{{alert: "TPMUnavailable"}}},
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
		{name: "PCR 7 extended at run time", lasts: 15 * time.Minute, settles: 20 * time.Minute,
			breaks: func(_ *simulation, h *fleet.Host) { h.PCR7Extended = true; h.Refuse() },
			mends:  func(s *simulation, h *fleet.Host) { h.Reboot(s.now); h.Readmit(s.now) },
			pages: []page{{alert: "TPMPCRChangedWhileRunning"}, {alert: "KeylimeIntegrityFailure"},
				{alert: "SPIRETrustsFailedAgent"}}},
		{name: "Secure Boot off", lasts: 15 * time.Minute, settles: 10 * time.Minute,
			breaks: func(_ *simulation, h *fleet.Host) { h.SecureBootOff = true },
			mends:  func(_ *simulation, h *fleet.Host) { h.SecureBootOff = false },
			pages:  []page{{alert: "SecureBootTurnedOff"}}},
		{name: "kernel or boot loader replaced", lasts: 25 * time.Minute, settles: 10 * time.Minute,
			breaks: func(_ *simulation, h *fleet.Host) { h.Install() },
			mends:  func(_ *simulation, h *fleet.Host) { h.Restore() },
			pages:  []page{{alert: "DiskUnlockAtRisk"}}},
		{name: "disk bound to another boot", lasts: 20 * time.Minute, settles: 10 * time.Minute,
			breaks: func(_ *simulation, h *fleet.Host) { h.Unbind() },
			mends:  func(_ *simulation, h *fleet.Host) { h.Bind() },
			pages:  []page{{alert: "DiskUnlockWillFail"}}},
	}
}
