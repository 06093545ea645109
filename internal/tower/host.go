package tower

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"funlab.casa/attestation_exporter/internal/tower/bus"
	"funlab.casa/attestation_exporter/internal/tower/swtpm"
)

// kernels are what the host's boot loader may start. Which one it is shows in PCR
// 4.
const (
	kernelInstalled = "vmlinuz-6.1.0-41"
	kernelNewer     = "vmlinuz-6.1.0-42"
)

func (t *Tower) startTPM(ctx context.Context) error {
	dir := t.path("tpm")
	if err := swtpm.Manufacture(ctx, dir, "sha1", "sha256"); err != nil {
		return err
	}
	chip, err := swtpm.Start(ctx, dir)
	if err != nil {
		return err
	}
	t.tpm = chip
	t.onClose(func() { _ = chip.Close() })
	if err := t.measure(kernelInstalled); err != nil {
		return err
	}
	return t.takeBaseline(ctx)
}

// measure extends the PCRs as the boot of a PC does.
func (t *Tower) measure(kernel string) error {
	for _, event := range []struct {
		pcr      int
		measured string
	}{
		{0, "firmware"}, {1, "firmware settings"}, {2, "option ROMs"}, {3, "option ROM settings"},
		{4, "shim"}, {4, "boot loader"}, {4, kernel}, {5, "partition table"}, {6, "maker's"}, {7, "Secure Boot: on"},
	} {
		if err := t.tpm.Extend(event.pcr, event.measured); err != nil {
			return fmt.Errorf("measure %s: %w", event.measured, err)
		}
	}
	return nil
}

// reboot restarts the TPM and boots a kernel, as far as PCRs can tell.
func (t *Tower) reboot(ctx context.Context, kernel string) error {
	if err := t.tpm.Restart(ctx); err != nil {
		return err
	}
	return t.measure(kernel)
}

// takeBaseline lets the exporter print the PCRs as they are, as its user would.
func (t *Tower) takeBaseline(ctx context.Context) error {
	baseline, err := exec.CommandContext(ctx, t.options.Exporter, "baseline", "--collector.tpm.device="+t.tpm.Socket).Output()
	if err != nil {
		return fmt.Errorf("take a baseline: %w", err)
	}
	return replace(t.path("pcr-baseline.json"), baseline)
}

// startIdentities mints the PKI of the deployment: Keylime's, with its certificates
// of a day, and SPIRE's, whose authorities live for a day too.
func (t *Tower) startIdentities(context.Context) error {
	now := time.Now()
	years := now.AddDate(10, 0, 0)
	var err error
	if t.root, err = issue(authority("Tower Root CA", now.Add(-time.Hour), years), nil); err != nil {
		return err
	}
	if t.middle, err = issue(authority("Tower Intermediate CA", now.Add(-time.Hour), years), t.root); err != nil {
		return err
	}
	if err := writePEM(t.path("keylime", "ca-root-only.crt"), t.root.certificate); err != nil {
		return err
	}
	if err := t.renewKeylime(now); err != nil {
		return err
	}
	if err := t.rotate(now); err != nil {
		return err
	}
	return t.updateBundle(now)
}

// renewKeylime is the work of keylime-cert-renewal.service.
func (t *Tower) renewKeylime(now time.Time) error {
	for _, who := range []string{"agent", "verifier", "registrar"} {
		fresh, err := issue(leaf(who, now.Add(-time.Second), now.Add(t.options.Day)), t.middle)
		if err != nil {
			return err
		}
		chain := []*x509.Certificate{fresh.certificate, t.middle.certificate}
		if t.chainShort && who == "agent" {
			chain = chain[:1]
		}
		if err := writePEM(t.path("keylime", who+".crt"), chain...); err != nil {
			return err
		}
		if who == "agent" {
			pair := fresh.pair(chain...)
			t.attestation.shown.Store(&pair)
		}
	}
	return nil
}

// rotate is what a SPIRE server does with its authorities: the next is prepared
// when half of the newest one's life is over, and one that expired a day ago is
// pruned.
func (t *Tower) rotate(now time.Time) error {
	day := t.options.Day
	if len(t.live) > 0 && now.Before(t.live[len(t.live)-1].certificate.NotBefore.Add(day/2)) {
		return nil
	}
	next, err := issue(spireAuthority(trustDomain, now, now.Add(day)), nil)
	if err != nil {
		return err
	}
	t.live = slices.DeleteFunc(append(t.live, next), func(a *identity) bool {
		return now.After(a.certificate.NotAfter.Add(day))
	})
	return nil
}

// updateBundle is the work of spire-trust-bundle-update.service.
func (t *Tower) updateBundle(time.Time) error {
	authorities := make([]*x509.Certificate, 0, len(t.live))
	for _, a := range t.live {
		authorities = append(authorities, a.certificate)
	}
	return writePEM(t.path("spire", "trust-bundle.pem"), authorities...)
}

func (t *Tower) startBus(ctx context.Context) error {
	dir := t.path("bus")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	systemBus, err := bus.Start(ctx, dir)
	if err != nil {
		return err
	}
	t.bus = systemBus
	t.onClose(systemBus.Close)

	nothing := func(time.Time) error { return nil }
	day := t.options.Day
	t.jobs = []*job{
		{timer: "keylime-cert-renewal", every: day / 2, work: t.renewKeylime},
		{timer: "spire-trust-bundle-update", every: day / 4, work: t.updateBundle},
		{timer: "cert-monitor", every: day / 4, work: nothing},
		{timer: "keylime-agent-recovery", every: max(day/288, time.Second), work: nothing},
	}
	now := time.Now()
	for _, j := range t.jobs {
		j.next = now.Add(j.every)
		t.publish(j)
	}
	return nil
}

// publish shows a job on the bus as systemd would. The caller holds t.mu once the
// Tower runs.
func (t *Tower) publish(j *job) {
	timer := bus.Timer{
		Name: j.timer + ".timer", Starts: j.timer + ".service",
		States:      bus.States{Active: "active", Sub: "waiting", UnitFile: "enabled"},
		LastTrigger: j.last, NextRealtime: j.next, Accuracy: time.Second,
	}
	if j.stopped {
		timer.Active, timer.Sub, timer.NextRealtime = "inactive", "dead", time.Time{}
	}
	service := bus.Service{Name: timer.Starts, States: bus.States{UnitFile: "static"}, MainStart: j.last, MainExit: j.last, InactiveExit: j.last, InactiveEnter: j.last}
	if j.failed {
		service.Active, service.Sub, service.Result = "failed", "failed", "exit-code"
	}
	t.bus.Set(timer, service)
}

// startEndpoint serves TLS as step-ca does.
func (t *Tower) startEndpoint(ctx context.Context) error {
	now := time.Now()
	server, err := issue(leaf("ca.funlab.casa", now.Add(-time.Hour), now.AddDate(0, 0, 90)), t.middle)
	if err != nil {
		return err
	}
	plain, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	listener := tls.NewListener(plain, &tls.Config{
		MinVersion:   tls.VersionTLS12,
		Certificates: []tls.Certificate{server.pair(server.certificate, t.middle.certificate)},
	})
	t.onClose(func() { _ = listener.Close() })
	t.endpointAddress = "localhost:" + strings.TrimPrefix(plain.Addr().String(), "127.0.0.1:")
	go greet(ctx, listener)
	return nil
}

// greet completes handshakes and hangs up, until the listener is closed.
func greet(ctx context.Context, listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer func() { _ = conn.Close() }()
			ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
			defer cancel()
			if secure, ok := conn.(*tls.Conn); ok {
				_ = secure.HandshakeContext(ctx)
			}
		}()
	}
}

// exporterArgs are the settings that an operator of this host would make.
func (t *Tower) exporterArgs(address string) []string {
	keylime := func(name string) string { return t.path("keylime", name) }
	args := []string{
		"--web.listen-address=" + address,
		// The way back is short here, and so is the time between two scrapes.
		"--scrape.timeout-offset=50ms",
		"--collector.tpm.device=" + t.tpm.Socket,
		"--collector.tpm.baseline=" + t.path("pcr-baseline.json"),
		"--collector.trust-bundle.file=" + t.path("spire", "trust-bundle.pem"),
		"--collector.certificate.endpoint=" + t.endpointAddress + "@" + keylime("ca-root-only.crt"),
	}
	for _, who := range []string{"agent", "verifier", "registrar"} {
		args = append(args,
			"--collector.certificate.file="+keylime(who+".crt"),
			"--collector.certificate.chain="+keylime(who+".crt")+":"+keylime("ca-root-only.crt"))
	}
	return append(args, t.attestationArgs()...)
}

func (t *Tower) startExporter(ctx context.Context) error {
	address, err := freeAddress(ctx, "127.0.0.1:10247")
	if err != nil {
		return err
	}
	t.ExporterURL = "http://" + address
	t.onClose(func() { t.exporter.Stop() })
	return t.runExporter(ctx)
}

// runExporter starts the exporter, again if need be, on the address that it has.
func (t *Tower) runExporter(ctx context.Context) error {
	address := strings.TrimPrefix(t.ExporterURL, "http://")
	environment := append(t.attestationEnvironment(), "DBUS_SYSTEM_BUS_ADDRESS="+t.bus.Address())
	exporter, err := t.program("exporter", environment, t.options.Exporter, t.exporterArgs(address)...)
	if err != nil {
		return err
	}
	t.exporter = exporter
	return answers(ctx, exporter, t.ExporterURL+"/-/ready")
}
