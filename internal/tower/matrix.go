package tower

import (
	"context"
	"slices"
	"time"

	"funlab.casa/attestation_exporter/internal/tower/keylime"
)

// Faults returns the faults that a Tower knows, by layer.
func Faults() []Fault {
	return slices.Concat(machineFaults(), certificateFaults(), keylimeFaults(), spireFaults())
}

// does is a step of a fault that needs no more than the Tower.
func does(act func(*Tower)) func(*Tower, context.Context) error {
	return func(t *Tower, _ context.Context) error { act(t); return nil }
}

// tries is one that can fail.
func tries(act func(*Tower) error) func(*Tower, context.Context) error {
	return func(t *Tower, _ context.Context) error { return act(t) }
}

func machineFaults() []Fault {
	return []Fault{
		{
			Name: "host-gone", What: "the exporter's host stops answering",
			Alerts: []string{"AttestationExporterDown"},
			breaks: does(func(t *Tower) { t.exporter.Stop() }),
			mends:  (*Tower).runExporter,
		},
		{
			Name: "tpm-wedged", What: "the TPM takes commands and answers none",
			Alerts: []string{"TPMUnavailable"},
			breaks: tries(func(t *Tower) error { return t.tpm.Wedge() }),
			mends:  tries(func(t *Tower) error { return t.tpm.Unwedge() }),
		},
		{
			// The disk is silent: the next boot begins from the firmware's values again.
			Name: "pcr7", What: "somebody extends PCR 7 while the host runs; mended by a reboot and a new attestation",
			Alerts: []string{"TPMPCRChangedWhileRunning", "KeylimeIntegrityFailure", "SPIRETrustsFailedAgent"},
			Hidden: []string{"TPMPCRMismatch", "BootEventLogMismatch"},
			breaks: tries((*Tower).intrude),
			mends: func(t *Tower, ctx context.Context) error {
				t.readmit()
				return t.boot(ctx, installed)
			},
		},
		{
			Name: "bootloader", What: "the boot loader is updated, and the disk is bound to the old one; mended by putting that back",
			Alerts: []string{"DiskUnlockAtRisk"},
			breaks: tries(func(t *Tower) error { return t.install(loaderFile, updated) }),
			mends:  tries(func(t *Tower) error { return t.install(loaderFile, installed) }),
		},
		{
			Name: "kernel", What: "a newer kernel is what the next boot starts, as after an ordinary update; mended by putting the old one back",
			Alerts: []string{"DiskUnlockAtRisk"},
			breaks: tries(func(t *Tower) error { return t.install(kernelFile, updated) }),
			mends:  tries(func(t *Tower) error { return t.install(kernelFile, installed) }),
		},
		{
			Name: "reboot", What: "the host was rebooted into the newer kernel, and unlocked by hand; neither disk nor baseline know it",
			Alerts: []string{"DiskUnlockWillFail", "TPMPCRMismatch"}, AnyOrder: true,
			breaks: func(t *Tower, ctx context.Context) error { return t.rebootInto(ctx, updated) },
			mends:  func(t *Tower, ctx context.Context) error { return t.rebootInto(ctx, installed) },
		},
	}
}

func certificateFaults() []Fault {
	return []Fault{
		{
			Name: "chain", What: "Keylime's agent.crt is renewed without its intermediate",
			Alerts: []string{"CertificateChainInvalid"},
			breaks: tries(func(t *Tower) error { return t.shorten(true) }),
			mends:  tries(func(t *Tower) error { return t.shorten(false) }),
		},
		{
			Name: "half-written", What: "a certificate file is left half written",
			Alerts: []string{"CertificateUnreadable"},
			breaks: tries(func(t *Tower) error {
				return replace(t.path("keylime", "registrar.crt"), []byte("-----BEGIN CERTIFICATE-----\nMIIB"))
			}),
			mends: tries(func(t *Tower) error { return t.renewKeylime(time.Now()) }),
		},
		{
			Name: "renewal", What: "the renewal of Keylime's certificates fails, and nobody notices until they run out",
			Alerts: []string{"TimerServiceFailed", "CertificateExpiringSoon", "CertificateExpiryCritical", "CertificateExpired"},
			breaks: does(func(t *Tower) { t.job("keylime-cert-renewal").failing = true }),
			mends: does(func(t *Tower) {
				j := t.job("keylime-cert-renewal")
				j.failing, j.next = false, time.Now()
			}),
		},
		{
			Name: "bundle-timer", What: "the timer that refreshes the trust bundle is stopped",
			Alerts: []string{"TimerNotRunning", "TrustBundleOutdated", "TrustBundleExpiringSoon", "TrustBundleExpiryCritical", "TrustBundleUnreadable"},
			breaks: does(func(t *Tower) {
				j := t.job("spire-trust-bundle-update")
				j.stopped = true
				t.publish(j)
			}),
			mends: does(func(t *Tower) {
				j := t.job("spire-trust-bundle-update")
				j.stopped, j.next = false, time.Now()
			}),
		},
		{
			Name: "client-cert", What: "the exporter's own certificate for Keylime's verifier has run out",
			Alerts: []string{"CertificateExpired", "KeylimeVerifierUnreachable"},
			Says:   map[string]string{"KeylimeVerifierUnreachable": "(reason: tls)"},
			breaks: tries(func(t *Tower) error { return t.lapse(true) }),
			mends:  tries(func(t *Tower) error { return t.lapse(false) }),
		},
	}
}

func keylimeFaults() []Fault {
	return []Fault{
		{
			Name: "quote", What: "Keylime's verifier refuses a quote of the host, and SPIRE goes on to trust it",
			Alerts: []string{"KeylimeIntegrityFailure", "SPIRETrustsFailedAgent"},
			breaks: does(func(t *Tower) { t.attestation.verifier.Change(hostAgent, keylime.BadQuote) }),
			mends:  does((*Tower).readmit),
		},
		{
			Name: "agent-gone", What: "the host's Keylime agent ends, and the verifier gives it up",
			Alerts: []string{"KeylimeLocalAgentDown"},
			breaks: does((*Tower).loseAgent),
			mends:  (*Tower).recoverAgent,
		},
		{
			Name: "agent-hangs", What: "the agent takes connections and never says a word, while the verdict is still PASS",
			Alerts: []string{"KeylimeLocalAgentDown"},
			breaks: does(func(t *Tower) { t.hangAgent(keylime.Silent) }),
			mends:  does((*Tower).unhangAgent),
		},
		{
			Name: "quotes-hang", What: "the agent shakes hands and never finishes a quote, while the verdict is still PASS",
			Alerts: []string{"KeylimeAttestationStale"},
			breaks: does(func(t *Tower) { t.hangAgent(keylime.Hang) }),
			mends:  does((*Tower).unhangAgent),
		},
		{
			Name: "verifier-down", What: "Keylime's verifier is down, and the proxy in front of it says so",
			Alerts: []string{"KeylimeVerifierUnreachable"},
			breaks: does(func(t *Tower) { t.attestation.verifier.Break(keylime.BadGateway) }),
			mends:  does(func(t *Tower) { t.attestation.verifier.Break(keylime.NoFault) }),
		},
		{
			Name: "verifier-locked", What: "the verifier's database was locked for a moment: it answers PASS for ever and attests nobody",
			Alerts: []string{"KeylimeNobodyAttested"},
			Hidden: []string{"KeylimeAttestationStale"},
			breaks: does(func(t *Tower) { t.attestation.verifier.Lock() }),
			mends:  does(func(t *Tower) { t.attestation.verifier.Restart() }),
		},
	}
}

func spireFaults() []Fault {
	return []Fault{
		{
			Name: "spire-server", What: "the SPIRE server is stopped; the agents serve on until their own SVIDs end",
			Alerts: []string{"SPIREServerDown"},
			breaks: does((*Tower).stopSPIREServer),
			mends: tries(func(t *Tower) error {
				if err := t.startSPIREServer(); err != nil || t.broken["spire-agent"] {
					return err
				}
				return t.startSPIREAgent()
			}),
		},
		{
			Name: "spire-agent", What: "the host's SPIRE agent is stopped",
			Alerts: []string{"SPIREAgentDown"},
			breaks: does((*Tower).stopSPIREAgent),
			mends:  tries((*Tower).startSPIREAgent),
		},
		{
			Name: "plugin", What: "the plugin by which SPIRE attests is rebuilt, and its checksum in server.conf is the old one's",
			Alerts: []string{"SPIREPluginChecksumMismatch"},
			breaks: tries(func(t *Tower) error { return t.installPlugin(rebuiltPlugin) }),
			mends:  tries(func(t *Tower) error { return t.installPlugin(pinnedPlugin) }),
		},
	}
}
