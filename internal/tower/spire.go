package tower

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"time"

	"funlab.casa/attestation_exporter/internal/tower/spire"
)

// agentPath begins the SPIFFE IDs of agents that Keylime vouches for; its id of the
// agent ends them.
const agentPath = "/spire/agent/keylime/"

// Builds of the attestor, as far as a checksum goes: the one that server.conf pins,
// and a later one.
const (
	pinnedPlugin  = "keylime-attestor, as it was built\n"
	rebuiltPlugin = "keylime-attestor, as it was rebuilt\n"
)

// An identityProvider is the SPIRE of the deployment: its server and this host's
// agent. The agent of the other host shows in the server's datastore only.
type identityProvider struct {
	domain *spire.Domain
	server *spire.Server // nil while it is stopped
	agent  *spire.Agent  // nil while it is stopped
	// ends are the ends of the SVIDs that the datastore has, by Keylime's ids.
	ends map[string]time.Time
}

// svidLifetime is an hour, made shorter like the rules' waits, and no more than the
// sixth of an authority's life in which it would outlive its authority.
func (t *Tower) svidLifetime() time.Duration {
	return min(t.sooner(time.Hour), t.options.Day/6)
}

// startSPIRE starts a server and an agent, which the exporter finds by their
// configuration files.
func (t *Tower) startSPIRE(context.Context) error {
	domain, err := spire.NewDomain(trustDomain, t.options.Day, time.Now)
	if err != nil {
		return err
	}
	domain.Lead = t.sooner(domain.Lead)
	t.spire.domain, t.spire.ends = domain, map[string]time.Time{}
	if err := t.configureSPIRE(); err != nil {
		return err
	}
	if err := t.startSPIREServer(); err != nil { //nolint:contextcheck // A Unix socket is there at once, and outlives the start.
		return err
	}
	t.onClose(t.stopSPIREServer)
	if err := t.startSPIREAgent(); err != nil { //nolint:contextcheck // The same.
		return err
	}
	t.onClose(t.stopSPIREAgent)
	t.enlist(otherAgent, time.Now().Add(t.svidLifetime()))
	return t.updateBundle(time.Now())
}

// configureSPIRE writes what an operator writes, and the plugin that is pinned.
func (t *Tower) configureSPIRE() error {
	agent, server := t.path("spire", "agent"), t.path("spire", "server")
	return errors.Join(
		os.MkdirAll(agent, 0o755),
		os.MkdirAll(server, 0o755),
		t.installPlugin(pinnedPlugin),
		replace(t.path("spire", "server.conf"), fmt.Appendf(nil, serverConf,
			trustDomain, server, t.path("spire", "server", "api.sock"), t.options.Day, t.svidLifetime(),
			t.pluginFile(), sha256.Sum256([]byte(pinnedPlugin)))),
		replace(t.path("spire", "agent.conf"), fmt.Appendf(nil, agentConf,
			trustDomain, agent, t.path("spire", "agent", "agent.sock"),
			t.path("spire", "agent", "admin", "api.sock"), t.path("spire", "trust-bundle.pem"))),
	)
}

const serverConf = `server {
    trust_domain = %q
    data_dir = %q
    socket_path = %q
    ca_ttl = %q
    agent_ttl = %q
}
plugins {
    NodeAttestor "keylime" {
        plugin_cmd = %q
        plugin_checksum = "%x"
        plugin_data {}
    }
}
`

const agentConf = `agent {
    trust_domain = %q
    data_dir = %q
    socket_path = %q
    admin_socket_path = %q
    trust_bundle_path = %q
}
`

func (t *Tower) spireArgs() []string {
	return []string{
		"--collector.spire-server",
		"--collector.spire-server.config=" + t.path("spire", "server.conf"),
		"--collector.spire-agent.config=" + t.path("spire", "agent.conf"),
	}
}

// startSPIREServer starts the server with what its datastore holds, and an agent
// that ended without it, as systemd does.
func (t *Tower) startSPIREServer() error {
	server, err := spire.NewServer(t.path("spire", "server", "api.sock"), t.spire.domain)
	if err != nil {
		return err
	}
	server.SetEntries(12)
	t.spire.server = server
	for id, end := range t.spire.ends {
		t.enlist(id, end)
	}
	if t.spire.agent != nil {
		t.spire.agent.LoseServer(time.Time{})
	}
	return nil
}

func (t *Tower) stopSPIREServer() {
	if t.spire.server == nil {
		return
	}
	t.spire.server.Close()
	t.spire.server = nil
	if t.spire.agent != nil {
		t.spire.agent.LoseServer(time.Now())
	}
}

// startSPIREAgent starts this host's agent, which attests anew.
func (t *Tower) startSPIREAgent() error {
	if t.spire.agent != nil {
		return nil
	}
	agent, err := spire.NewAgent(t.path("spire", "agent"), t.spire.domain, agentPath+hostAgent, t.svidLifetime())
	if err != nil {
		return err
	}
	t.spire.agent = agent
	t.enlist(hostAgent, agent.NotAfter())
	return nil
}

func (t *Tower) stopSPIREAgent() {
	if t.spire.agent == nil {
		return
	}
	t.spire.agent.Close()
	t.spire.agent = nil
}

// enlist puts the end of an agent's SVID into the datastore.
func (t *Tower) enlist(id string, end time.Time) {
	t.spire.ends[id] = end
	if t.spire.server != nil {
		t.spire.server.SetAgent(agentPath+id, "keylime", end, true)
	}
}

// tickSPIRE is what server and agents do as time passes: authorities rotate, and
// SVIDs are renewed at half of their life, while there is a server. An agent whose
// own SVID ends exits.
func (t *Tower) tickSPIRE(now time.Time) error {
	if t.spire.server != nil {
		if err := t.renewSPIRE(now); err != nil {
			return err
		}
	}
	if t.spire.agent != nil && now.After(t.spire.agent.NotAfter()) {
		t.stopSPIREAgent()
	}
	return nil
}

func (t *Tower) renewSPIRE(now time.Time) error {
	lifetime := t.svidLifetime()
	changed, err := t.spire.domain.Rotate()
	if err != nil {
		return err
	}
	if t.spire.ends[otherAgent].Sub(now) < lifetime/2 {
		t.enlist(otherAgent, now.Add(lifetime))
	}
	agent := t.spire.agent
	if agent == nil {
		return nil
	}
	if agent.NotAfter().Sub(now) < lifetime/2 {
		err := agent.Renew(lifetime)
		t.enlist(hostAgent, agent.NotAfter())
		return err
	}
	if changed {
		return agent.WriteData()
	}
	return nil
}

// installPlugin puts a build of the plugin where server.conf says, and leaves the pin.
func (t *Tower) installPlugin(build string) error {
	return replace(t.pluginFile(), []byte(build))
}

func (t *Tower) pluginFile() string { return t.path("spire", "plugins", "keylime-attestor") }
