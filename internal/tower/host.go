package tower

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"funlab.casa/attestation_exporter/internal/tower/bus"
	"funlab.casa/attestation_exporter/internal/tower/child"
)

// startCertificates mints Keylime's PKI, with its certificates of a day.
func (t *Tower) startCertificates(context.Context) error {
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
	return t.renewKeylime(now)
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

// shorten takes the intermediate out of agent.crt, or puts it back.
func (t *Tower) shorten(short bool) error {
	t.chainShort = short
	return t.renewKeylime(time.Now())
}

// updateBundle is the work of spire-trust-bundle-update.service.
func (t *Tower) updateBundle(time.Time) error {
	return replace(t.path("spire", "trust-bundle.pem"), t.spire.domain.PEM())
}

// timerAccuracy is how late systemd may start a timer's service here.
const timerAccuracy = time.Second

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
		{timer: "keylime-agent-recovery", every: max(day/288, time.Second), work: t.recoverAgents},
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
		LastTrigger: j.last, NextRealtime: j.next, Accuracy: timerAccuracy,
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
		"--collector.trust-bundle.file=" + t.path("spire", "trust-bundle.pem"),
		"--collector.certificate.endpoint=" + t.endpointAddress + "@" + keylime("ca-root-only.crt"),
	}
	for _, who := range []string{"agent", "verifier", "registrar"} {
		args = append(args,
			"--collector.certificate.file="+keylime(who+".crt"),
			"--collector.certificate.chain="+keylime(who+".crt")+":"+keylime("ca-root-only.crt"))
	}
	return slices.Concat(args, t.machineArgs(), t.attestationArgs(), t.spireArgs())
}

func (t *Tower) startExporter(ctx context.Context) error {
	address, err := child.FreeAddress(ctx, "127.0.0.1:10247")
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
