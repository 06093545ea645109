package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"funlab.casa/attestation_exporter/internal/tower/bus"
	"funlab.casa/attestation_exporter/internal/tower/keylime"
	"funlab.casa/attestation_exporter/internal/tower/spire"
	"funlab.casa/attestation_exporter/internal/tower/swtpm"
)

// A conduct is what a hostile peer does with a connection until it is closed. A nil
// one is to pass everything on.
type conduct func(net.Conn)

// The ways in which anything that listens can misbehave.
var (
	silent  conduct = func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }
	hangUp  conduct = func(net.Conn) {}
	half    conduct = func(c net.Conn) { _, _ = c.Write([]byte{0x16, 0x03, 0x03}) }
	endless conduct = func(c net.Conn) {
		block := make([]byte, 1<<16)
		for i := range block {
			block[i] = byte(i)
		}
		for {
			if _, err := c.Write(block); err != nil {
				return
			}
		}
	}
	byteByByte conduct = func(c net.Conn) {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for range tick.C {
			if _, err := c.Write([]byte{0}); err != nil {
				return
			}
		}
	}
)

// A peer stands before a part of the host and passes on what is said, until it is
// told to misbehave; then it does so in the middle of a conversation, too.
type peer struct {
	address  string
	network  string
	upstream string
	listener net.Listener

	mu      sync.Mutex
	conduct conduct
	conns   map[net.Conn]bool
	serving sync.WaitGroup
}

// before puts a peer before upstream.
func before(t *testing.T, network, address, upstream string) *peer {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), network, address)
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{address: listener.Addr().String(), network: network, upstream: upstream, listener: listener, conns: map[net.Conn]bool{}}
	go p.accept()
	t.Cleanup(func() {
		_ = listener.Close()
		p.behave(hangUp)
		p.hangUp() // on those who were served well until now, too
		p.serving.Wait()
	})
	return p
}

// behave changes the conduct, and ends what came of the one before.
func (p *peer) behave(c conduct) {
	p.mu.Lock()
	changed := p.conduct != nil
	p.conduct = c
	p.mu.Unlock()
	if changed {
		p.hangUp()
	}
}

func (p *peer) hangUp() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.conns {
		_ = conn.Close()
	}
}

func (p *peer) now() conduct {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.conduct
}

func (p *peer) accept() {
	for {
		conn, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		p.conns[conn] = true
		p.mu.Unlock()
		p.serving.Go(func() {
			p.serve(conn)
			_ = conn.Close()
			p.mu.Lock()
			delete(p.conns, conn)
			p.mu.Unlock()
		})
	}
}

func (p *peer) serve(conn net.Conn) {
	if c := p.now(); c != nil {
		c(conn)
		return
	}
	up, err := net.Dial(p.network, p.upstream)
	if err != nil {
		return
	}
	p.serving.Go(func() {
		_, _ = io.Copy(up, conn)
		_ = up.Close()
	})
	answer := make([]byte, 1<<15)
	for {
		n, err := up.Read(answer)
		if c := p.now(); c != nil {
			c(conn)
			return
		}
		if _, writeErr := conn.Write(answer[:n]); err != nil || writeErr != nil {
			return
		}
	}
}

// A hostileHost is a host in good health of which everything that listens can be
// told to misbehave.
type hostileHost struct {
	peers    []*peer
	args     []string
	verifier *keylime.Verifier
}

func newHostileHost(t *testing.T) *hostileHost {
	t.Helper()
	dir, err := os.MkdirTemp("", "host") // not t.TempDir, which may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	h := &hostileHost{}
	h.addTPM(t, dir)
	h.addBus(t, dir)
	h.addKeylime(t, dir)
	h.addSPIRE(t, dir)
	return h
}

func (h *hostileHost) behave(c conduct) {
	for _, p := range h.peers {
		p.behave(c)
	}
}

func (h *hostileHost) add(p *peer, args ...string) {
	h.peers, h.args = append(h.peers, p), append(h.args, args...)
}

func (h *hostileHost) addTPM(t *testing.T, dir string) {
	t.Helper()
	state := filepath.Join(dir, "tpm")
	if err := os.Mkdir(state, 0o700); err != nil {
		t.Fatal(err)
	}
	chip, err := swtpm.Start(t.Context(), state)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = chip.Close() })
	p := before(t, "unix", filepath.Join(dir, "tpm.sock"), chip.Socket)
	h.add(p, "--collector.tpm.device="+p.address)
}

func (h *hostileHost) addBus(t *testing.T, dir string) {
	t.Helper()
	folder := filepath.Join(dir, "bus")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	systemd, err := bus.Start(t.Context(), folder)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(systemd.Close)
	systemd.Set(
		bus.Timer{Name: "cert-monitor.timer", States: bus.States{Active: "active", Sub: "waiting", UnitFile: "enabled"}, NextMonotonic: time.Hour},
		bus.Service{Name: "cert-monitor.service"},
	)
	p := before(t, "unix", filepath.Join(dir, "bus.sock"), filepath.Join(folder, "bus"))
	h.add(p)
	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path="+p.address)
}

func (h *hostileHost) addKeylime(t *testing.T, dir string) {
	t.Helper()
	certFile, keyFile := selfSigned(t, dir)
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	clients := x509.NewCertPool()
	clients.AddCert(pair.Leaf)
	settings := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: clients}
	verifier, err := keylime.StartVerifier(t.Context(), keylime.VerifierOptions{Address: "127.0.0.1:0", TLS: settings, ID: "default", Interval: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	h.verifier = verifier
	registrar, err := keylime.StartRegistrar(t.Context(), keylime.RegistrarOptions{Address: "127.0.0.1:0", TLS: settings})
	if err != nil {
		t.Fatal(err)
	}
	agent, err := keylime.StartAgent(t.Context(), keylime.AgentOptions{Address: "127.0.0.1:0", ID: "a", TLS: settings})
	if err != nil {
		t.Fatal(err)
	}
	client := filepath.Join(dir, "keylime.yml")
	writeFile(t, client, fmt.Sprintf("tls_config:\n  ca_file: %s\n  cert_file: %s\n  key_file: %s\n", certFile, certFile, keyFile))
	for component, text := range map[string]string{
		"VERIFIER":  "[verifier]\ndatabase_url = mysql://keylime:" + canary + "@db\nclient_key_password = " + canary + "\n",
		"REGISTRAR": "[registrar]\nserver_key_password = " + canary + "\n",
		"AGENT":     "[agent]\nuuid = \"d432fbb3-d2f1-4a97-9ef7-75bd81c00001\"\nserver_key_password = \"" + canary + "\"\n",
	} {
		file := filepath.Join(dir, component+".conf")
		writeFile(t, file, text)
		t.Setenv("KEYLIME_"+component+"_CONFIG", file)
	}
	p := before(t, "tcp", "127.0.0.1:0", verifier.Address)
	h.add(p, "--collector.keylime-verifier.url=https://"+p.address, "--collector.keylime-verifier.http-config="+client)
	p = before(t, "tcp", "127.0.0.1:0", registrar.Address)
	h.add(p, "--collector.keylime-registrar.url=https://"+p.address, "--collector.keylime-registrar.http-config="+client)
	p = before(t, "tcp", "127.0.0.1:0", agent.Address)
	h.add(p, "--collector.keylime-agent.address="+p.address)
	p = before(t, "tcp", "127.0.0.1:0", agent.Address)
	h.add(p, "--collector.certificate.endpoint="+p.address+"@"+certFile, "--collector.certificate.file="+certFile)
}

func (h *hostileHost) addSPIRE(t *testing.T, dir string) {
	t.Helper()
	domain, err := spire.NewDomain("example.org", 24*time.Hour, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(dir, "spire")
	agent, err := spire.NewAgent(folder, domain, "/spire/agent/x509pop/host", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(agent.Close)
	bundle := filepath.Join(dir, "bundle.pem")
	writeFile(t, bundle, string(domain.PEM()))
	p := before(t, "unix", filepath.Join(dir, "spire.sock"), agent.Workload.Path)
	h.add(p, "--collector.spire-agent.socket="+p.address, "--collector.spire-agent.data-dir="+folder, "--collector.trust-bundle.file="+bundle)
}
