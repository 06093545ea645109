package tower

import (
	"context"
	"crypto/tls"
	"net/netip"
	"sync/atomic"
	"time"

	"funlab.casa/attestation_exporter/internal/tower/keylime"
)

// The Keylime agents of this host and of another one, which nobody scrapes here.
const (
	hostAgent  = "5e1f0c9a-70b4-4d2e-9a53-1c6f2b8d7e04"
	otherAgent = "c2a94d17-3b86-4f0e-8d75-0e9b61f4a3d8"
)

// quoteInterval is the deployment's own. It isn't made shorter: how old a last
// success may be doesn't get shorter, either.
const quoteInterval = 2 * time.Second

// An attestation is the Keylime of the deployment: the two servers, as they look
// through the proxy in front of them, and this host's agent.
type attestation struct {
	verifier  *keylime.Verifier
	registrar *keylime.Registrar
	agent     *keylime.LocalAgent
	// shown is the agent's certificate, which is renewed while it listens.
	shown atomic.Pointer[tls.Certificate]
	// monitoring issues the exporter's certificates for the servers.
	monitoring *identity
	clients    map[string]*identity // by server
	// refusal is when the verifier learns that the host was changed; zero is never.
	refusal time.Time
}

// startAttestation starts Keylime's servers with two agents that attest, and this
// host's agent. What the exporter needs to know is left in files.
func (t *Tower) startAttestation(ctx context.Context) error {
	settings, err := t.introduce(time.Now())
	if err != nil {
		return err
	}
	parts := &t.attestation
	parts.verifier, err = keylime.StartVerifier(ctx, keylime.VerifierOptions{
		Address: "127.0.0.1:0", TLS: settings, ID: "default",
		Interval: quoteInterval, Haste: t.options.Faster,
	})
	if err != nil {
		return err
	}
	t.onClose(parts.verifier.Close)
	parts.registrar, err = keylime.StartRegistrar(ctx, keylime.RegistrarOptions{Address: "127.0.0.1:0", TLS: settings})
	if err != nil {
		return err
	}
	t.onClose(parts.registrar.Close)
	if err := t.startAgent(ctx, "127.0.0.1:0"); err != nil {
		return err
	}
	t.onClose(func() { parts.agent.Close() })
	listens, err := netip.ParseAddrPort(parts.agent.Address)
	if err != nil {
		return err
	}
	for _, agent := range []keylime.Agent{
		{ID: hostAgent, IP: listens.Addr().String(), Port: int(listens.Port()), Event: "pcr_validation.invalid_pcr_7"},
		{ID: otherAgent, IP: "192.0.2.2", Port: 9002},
	} {
		agent.Conduct = keylime.Attests
		parts.registrar.Register(agent.ID, true)
		parts.verifier.Add(agent)
	}
	return nil
}

// startAgent starts this host's agent, again if need be. It outlives ctx, which may
// be no more than the request to mend it.
func (t *Tower) startAgent(ctx context.Context, address string) error {
	agent, err := keylime.StartAgent(context.WithoutCancel(ctx), keylime.AgentOptions{
		Address: address, ID: hostAgent,
		TLS: &tls.Config{
			MinVersion: tls.VersionTLS12,
			ClientAuth: tls.RequireAnyClientCert,
			GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
				return t.attestation.shown.Load(), nil
			},
		},
	})
	if err != nil {
		return err
	}
	t.attestation.agent = agent
	return nil
}

// attestationArgs are the flags that lead the exporter to Keylime. The rest it
// learns from Keylime's own files, which attestationEnvironment names.
func (t *Tower) attestationArgs() []string {
	client := func(server string) string { return t.path("exporter", "keylime-"+server) }
	return []string{
		"--collector.keylime-verifier.url=" + t.attestation.verifier.URL(),
		"--collector.keylime-verifier.http-config=" + client("verifier") + ".yml",
		"--collector.keylime-registrar.url=" + t.attestation.registrar.URL(),
		"--collector.keylime-registrar.http-config=" + client("registrar") + ".yml",
		"--collector.keylime-agent.address=" + t.attestation.agent.Address,
		"--collector.certificate.file=" + client("verifier") + ".crt",
		"--collector.certificate.file=" + client("registrar") + ".crt",
	}
}

// attestationEnvironment also keeps the exporter away from the folder of a Keylime
// that this machine itself may have.
func (t *Tower) attestationEnvironment() []string {
	return []string{
		"KEYLIME_DIR=" + t.path("keylime"),
		"KEYLIME_AGENT_CONFIG=" + t.path("keylime", "agent.conf"),
		"KEYLIME_VERIFIER_CONFIG=" + t.path("keylime", "verifier.conf"),
	}
}

// attest is what the verifier learns as time passes.
func (t *Tower) attest(now time.Time) {
	if due := t.attestation.refusal; !due.IsZero() && now.After(due) {
		t.attestation.refusal = time.Time{}
		t.attestation.verifier.Change(hostAgent, keylime.BadQuote)
	}
}

// intrude extends a PCR that the verifier's policy knows. The exporter, which is on
// the host, sees it sooner than the verifier, which has a quote to await.
func (t *Tower) intrude() error {
	if err := t.tpm.Extend(7, "intruder"); err != nil {
		return err
	}
	t.attestation.refusal = time.Now().Add(2 * quoteInterval)
	return nil
}

// readmit deletes the host's agent from the verifier and adds it anew, the only way
// out of a failed state.
func (t *Tower) readmit() {
	t.attestation.refusal = time.Time{}
	t.attestation.verifier.Restore(hostAgent)
}

// loseAgent ends the host's agent, which the verifier then tries again for a while.
func (t *Tower) loseAgent() {
	t.attestation.agent.Close()
	t.attestation.verifier.Change(hostAgent, keylime.Gone)
}

// hangAgent lets the host's agent hang: Silent is before a word of TLS is said, Hang
// is over a quote.
func (t *Tower) hangAgent(how keylime.Fault) {
	t.attestation.agent.Break(how)
	t.attestation.verifier.Change(hostAgent, keylime.Hanging)
}

// unhangAgent lets the agent go on, and the verifier ask it anew.
func (t *Tower) unhangAgent() {
	t.attestation.agent.Break(keylime.NoFault)
	t.readmit()
}

// recoverAgents is the work of keylime-agent-recovery.service: an agent that the
// verifier gave up, as it does at a reboot, and that answers again, is added anew.
// One that it refused is left for a person to look at.
func (t *Tower) recoverAgents(time.Time) error {
	const givenUp = 7
	answers := !t.broken["agent-gone"] && !t.broken["agent-hangs"] && !t.broken["quotes-hang"]
	if state, _ := t.attestation.verifier.State(hostAgent); state == givenUp && answers {
		t.readmit()
	}
	return nil
}

// recoverAgent readmits the agent and starts it. An agent that is back while the
// last reading of the verifier still says that it is given up would be a page of its
// own, and rightly, so the exporter is let read first.
func (t *Tower) recoverAgent(ctx context.Context) error {
	t.readmit()
	t.awaitReading(ctx)
	return t.startAgent(ctx, t.attestation.agent.Address)
}

// awaitReading waits until the verifier is asked for its agents again. The exporter
// spares it for twenty times as long as it took, and may not be there at all.
func (t *Tower) awaitReading(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	const agents = "agents/"
	for before := t.attestation.verifier.Requests(agents); t.attestation.verifier.Requests(agents) == before; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
