package keylime

import (
	"cmp"
	"context"
	"net"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"funlab.casa/attestation_exporter/failure"
)

const defaultVerifierID = "default"

// VerifierSettings is what verifier.conf says.
type VerifierSettings struct {
	URL           url.URL
	ID            string        // uuid
	QuoteInterval time.Duration // 0 where it isn't set
}

// Verifier reads verifier.conf; ErrAbsent says that there is none.
func (f *Files) Verifier(ctx context.Context) (VerifierSettings, error) {
	found, err := f.read(ctx, f.verifier, []string{"uuid", "ip", "port", "quote_interval"})
	if err != nil {
		return VerifierSettings{}, err
	}
	target, err := found.url("ip", "port", "8881", f.whereTenantsGo(ctx, "verifier_ip"))
	if err != nil {
		return VerifierSettings{}, err
	}
	interval, err := found.seconds("quote_interval")
	if err != nil {
		return VerifierSettings{}, err
	}
	return VerifierSettings{
		URL:           target,
		ID:            found.text("uuid", defaultVerifierID),
		QuoteInterval: interval,
	}, nil
}

// RegistrarSettings is what registrar.conf says.
type RegistrarSettings struct {
	URL url.URL // of the TLS port: the plain one lists nobody
}

// Registrar reads registrar.conf; ErrAbsent says that there is none.
func (f *Files) Registrar(ctx context.Context) (RegistrarSettings, error) {
	found, err := f.read(ctx, f.registrar, []string{"ip", "tls_port"})
	if err != nil {
		return RegistrarSettings{}, err
	}
	target, err := found.url("ip", "tls_port", "8891", f.whereTenantsGo(ctx, "registrar_ip"))
	if err != nil {
		return RegistrarSettings{}, err
	}
	return RegistrarSettings{URL: target}, nil
}

// AgentSettings is what agent.conf says.
type AgentSettings struct {
	UUID    string // as it stands there, which may be a word instead
	Address string // host:port on which to reach it from this host
	TLS     bool   // false: plain HTTP, by enable_agent_mtls
	// Pushes says that the agent enabled here is the one that pushes, and listens
	// nowhere. No setting tells: the two are programs that read the same file, and
	// their units exclude each other.
	Pushes bool
}

// Agent reads agent.conf; ErrAbsent says that there is none.
func (f *Files) Agent(ctx context.Context) (AgentSettings, error) {
	found, err := f.read(ctx, f.agent, []string{"uuid", "ip", "port", "enable_agent_mtls"})
	if err != nil {
		return AgentSettings{}, err
	}
	port, err := found.port("port", "9002")
	if err != nil {
		return AgentSettings{}, err
	}
	encrypted, err := strconv.ParseBool(strings.ToLower(found.text("enable_agent_mtls", "true")))
	if err != nil {
		return AgentSettings{}, found.invalid("enable_agent_mtls", "true or false")
	}
	return AgentSettings{
		UUID:    found.text("uuid", DefaultUUID),
		Address: net.JoinHostPort(reachable(found.text("ip", "127.0.0.1"), ""), port),
		TLS:     encrypted,
		Pushes:  f.pushes(),
	}, nil
}

func (f *Files) pushes() bool {
	links, err := filepath.Glob(filepath.Join(f.root, "/etc/systemd/system/*.wants/keylime_push_model_agent.service"))
	return err == nil && len(links) > 0
}

// whereTenantsGo returns an address out of tenant.conf, where clients are told to connect. A
// file that is absent or broken is no reason to leave the verifier unread.
func (f *Files) whereTenantsGo(ctx context.Context, key string) string {
	found, err := f.read(ctx, f.tenant, []string{key})
	if err != nil {
		return ""
	}
	return found.text(key, "")
}

// text returns a setting without the quotes and blanks that Keylime strips, or
// fallback where it isn't set or empty.
func (v values) text(key, fallback string) string {
	return cmp.Or(strings.Trim(v[key].text, "\" \t"), fallback)
}

// invalid says that a setting isn't what it must be, and where it stands.
func (v values) invalid(key, must string) error {
	return failure.Errorf(failure.Malformed, "%s: %s isn't %s", v[key].from, key, must)
}

func (v values) port(key, fallback string) (string, error) {
	text := v.text(key, fallback)
	if port, err := strconv.ParseUint(text, 10, 16); err != nil || port == 0 {
		return "", v.invalid(key, "a port")
	}
	return text, nil
}

// url builds the https URL of a server from the address that it binds to.
func (v values) url(hostKey, portKey, fallbackPort, elsewhere string) (url.URL, error) {
	port, err := v.port(portKey, fallbackPort)
	if err != nil {
		return url.URL{}, err
	}
	host := reachable(v.text(hostKey, "127.0.0.1"), elsewhere)
	if strings.ContainsAny(host, "/?#@ \t\n") {
		return url.URL{}, v.invalid(hostKey, "an address")
	}
	return url.URL{Scheme: "https", Host: net.JoinHostPort(host, port)}, nil
}

// seconds reads a number of seconds, which may have a fraction.
func (v values) seconds(key string) (time.Duration, error) {
	text := v.text(key, "")
	if text == "" {
		return 0, nil
	}
	seconds, err := strconv.ParseFloat(text, 64)
	if err != nil || !(seconds > 0 && seconds < 1e9) {
		return 0, v.invalid(key, "a number of seconds")
	}
	return time.Duration(seconds * float64(time.Second)), nil
}

// reachable turns an address that a server binds to into one to connect to: what
// binds to every address is asked elsewhere, where clients are told to go, or on
// this host.
func reachable(bound, elsewhere string) string {
	bound = strings.Trim(bound, "[]")
	ip := net.ParseIP(bound)
	switch {
	case ip == nil || !ip.IsUnspecified():
		return bound
	case elsewhere != "":
		return strings.Trim(elsewhere, "[]")
	case ip.To4() != nil:
		return "127.0.0.1"
	}
	return "::1"
}
