package tower

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"funlab.casa/attestation_exporter/internal/tower/keylime"
)

// Everything stands for all faults that are there.
const Everything = "everything"

// A Fault can be put into a running Tower and taken out again.
type Fault struct {
	Name string
	// What happens, in the words of somebody who sees it happen.
	What string
	// Alerts are the notifications that must arrive, in this order, and no others.
	Alerts []string
	// Hidden are alerts that then fire, too, and that Alertmanager must keep back.
	Hidden []string

	breaks, mends func(*Tower, context.Context) error
}

// Faults returns the faults that a Tower knows.
func Faults() []Fault {
	return []Fault{
		{
			Name: "host-gone", What: "the exporter's host stops answering",
			Alerts: []string{"AttestationExporterDown"},
			breaks: func(t *Tower, _ context.Context) error { t.exporter.Stop(); return nil },
			mends:  (*Tower).runExporter,
		},
		{
			Name: "tpm-wedged", What: "the TPM takes commands and answers none",
			Alerts: []string{"TPMUnavailable"},
			breaks: func(t *Tower, _ context.Context) error { return t.tpm.Wedge() },
			mends:  func(t *Tower, _ context.Context) error { return t.tpm.Unwedge() },
		},
		{
			Name: "pcr7", What: "somebody extends PCR 7 while the host runs; mended by a reboot and a new attestation",
			Alerts: []string{"TPMPCRChangedWhileRunning", "KeylimeIntegrityFailure"},
			breaks: func(t *Tower, _ context.Context) error { return t.intrude() },
			mends: func(t *Tower, ctx context.Context) error {
				t.readmit()
				return t.reboot(ctx, kernelInstalled)
			},
		},
		{
			Name: "kernel", What: "the host reboots into a kernel that its baseline doesn't know",
			Alerts: []string{"TPMPCRMismatch"},
			breaks: func(t *Tower, ctx context.Context) error { return t.reboot(ctx, kernelNewer) },
			mends:  func(t *Tower, ctx context.Context) error { return t.reboot(ctx, kernelInstalled) },
		},
		{
			Name: "chain", What: "Keylime's agent.crt is renewed without its intermediate",
			Alerts: []string{"CertificateChainInvalid"},
			breaks: func(t *Tower, _ context.Context) error { return t.shorten(true) },
			mends:  func(t *Tower, _ context.Context) error { return t.shorten(false) },
		},
		{
			Name: "half-written", What: "a certificate file is left half written",
			Alerts: []string{"CertificateUnreadable"},
			breaks: func(t *Tower, _ context.Context) error {
				return replace(t.path("keylime", "registrar.crt"), []byte("-----BEGIN CERTIFICATE-----\nMIIB"))
			},
			mends: func(t *Tower, _ context.Context) error { return t.renewKeylime(time.Now()) },
		},
		{
			Name: "renewal", What: "the renewal of Keylime's certificates fails, and nobody notices until they run out",
			Alerts: []string{"TimerServiceFailed", "CertificateExpiringSoon", "CertificateExpiryCritical", "CertificateExpired"},
			breaks: func(t *Tower, _ context.Context) error { t.job("keylime-cert-renewal").failing = true; return nil },
			mends: func(t *Tower, _ context.Context) error {
				j := t.job("keylime-cert-renewal")
				j.failing, j.next = false, time.Now()
				return nil
			},
		},
		{
			Name: "bundle-timer", What: "the timer that refreshes the trust bundle is stopped",
			Alerts: []string{"TimerNotRunning", "TrustBundleExpiringSoon", "TrustBundleExpiryCritical", "TrustBundleUnreadable"},
			breaks: func(t *Tower, _ context.Context) error {
				j := t.job("spire-trust-bundle-update")
				j.stopped = true
				t.publish(j)
				return nil
			},
			mends: func(t *Tower, _ context.Context) error {
				j := t.job("spire-trust-bundle-update")
				j.stopped, j.next = false, time.Now()
				return nil
			},
		},
		{
			Name: "quote", What: "Keylime's verifier refuses a quote of the host",
			Alerts: []string{"KeylimeIntegrityFailure"},
			breaks: func(t *Tower, _ context.Context) error {
				t.attestation.verifier.Change(hostAgent, keylime.BadQuote)
				return nil
			},
			mends: func(t *Tower, _ context.Context) error { t.readmit(); return nil },
		},
		{
			Name: "agent-gone", What: "the host's Keylime agent ends, and the verifier gives it up",
			Alerts: []string{"KeylimeLocalAgentDown"},
			Hidden: []string{"KeylimeAgentGivenUp"},
			breaks: func(t *Tower, _ context.Context) error { t.loseAgent(); return nil },
			mends:  (*Tower).recoverAgent,
		},
		{
			Name: "verifier-down", What: "Keylime's verifier is down, and the proxy in front of it says so",
			Alerts: []string{"KeylimeVerifierUnreachable"},
			breaks: func(t *Tower, _ context.Context) error { t.attestation.verifier.Break(keylime.BadGateway); return nil },
			mends:  func(t *Tower, _ context.Context) error { t.attestation.verifier.Break(keylime.NoFault); return nil },
		},
		{
			Name: "verifier-locked", What: "the verifier's database was locked for a moment: it answers PASS for ever and attests nobody",
			Alerts: []string{"KeylimeNobodyAttested"},
			Hidden: []string{"KeylimeAttestationStale"},
			breaks: func(t *Tower, _ context.Context) error { t.attestation.verifier.Lock(); return nil },
			mends:  func(t *Tower, _ context.Context) error { t.attestation.verifier.Restart(); return nil },
		},
	}
}

// shorten takes the intermediate out of agent.crt, or puts it back.
func (t *Tower) shorten(short bool) error {
	t.chainShort = short
	return t.renewKeylime(time.Now())
}

func (t *Tower) job(timer string) *job {
	return t.jobs[slices.IndexFunc(t.jobs, func(j *job) bool { return j.timer == timer })]
}

// Break puts a fault in.
func (t *Tower) Break(ctx context.Context, name string) error {
	fault, err := faultNamed(name)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.broken[name] {
		return fmt.Errorf("%s is broken already", name)
	}
	t.broken[name] = true
	return fault.breaks(t, ctx)
}

// Mend takes a fault out, or Everything.
func (t *Tower) Mend(ctx context.Context, name string) error {
	if name != Everything {
		if _, err := faultNamed(name); err != nil {
			return err
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	var errs []error
	for _, fault := range Faults() {
		if t.broken[fault.Name] && (fault.Name == name || name == Everything) {
			delete(t.broken, fault.Name)
			errs = append(errs, fault.mends(t, ctx))
		}
	}
	return errors.Join(errs...)
}

func faultNamed(name string) (Fault, error) {
	var names []string
	for _, fault := range Faults() {
		if fault.Name == name {
			return fault, nil
		}
		names = append(names, fault.Name)
	}
	return Fault{}, fmt.Errorf("no fault %q, there are: %s", name, strings.Join(names, ", "))
}
