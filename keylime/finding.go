package keylime

import (
	"context"
	"errors"

	"funlab.casa/attestation_exporter/finding"
)

// VerifierFindings says where verifier.conf was found, and what is asked because of
// it. It returns ErrAbsent as Verifier does.
func (f *Files) VerifierFindings(ctx context.Context) ([]finding.Finding, error) {
	settings, err := f.Verifier(ctx)
	return f.findings(ctx, f.verifier, err, func(origin func(...string) string) []finding.Finding {
		return []finding.Finding{
			finding.URL("url", settings.URL.String(), origin("ip", "port")),
			finding.Named("id", settings.ID, origin("uuid")),
		}
	})
}

// RegistrarFindings says the same of registrar.conf.
func (f *Files) RegistrarFindings(ctx context.Context) ([]finding.Finding, error) {
	settings, err := f.Registrar(ctx)
	return f.findings(ctx, f.registrar, err, func(origin func(...string) string) []finding.Finding {
		return []finding.Finding{finding.URL("url", settings.URL.String(), origin("ip", "tls_port"))}
	})
}

// AgentFindings says the same of agent.conf. An agent that pushes listens nowhere.
func (f *Files) AgentFindings(ctx context.Context) ([]finding.Finding, error) {
	settings, err := f.Agent(ctx)
	return f.findings(ctx, f.agent, err, func(origin func(...string) string) []finding.Finding {
		if settings.Pushes {
			return nil
		}
		return []finding.Finding{finding.Named("address", settings.Address, origin("ip", "port"))}
	})
}

// findings are a component's configuration files, and what was made of them unless
// that failed with unread. The function that describe gets returns who set the first
// of some keys that was set at all.
func (f *Files) findings(
	ctx context.Context, c *component, unread error,
	describe func(origin func(keys ...string) string) []finding.Finding,
) ([]finding.Finding, error) {
	if errors.Is(unread, ErrAbsent) {
		return nil, unread
	}
	paths, err := f.paths(c)
	paths, from := f.chosen(c.name, paths)
	var found []finding.Finding
	for _, path := range paths {
		found = append(found, finding.At("config", path, from))
	}
	if err := errors.Join(unread, err); err != nil {
		return found, err
	}
	origin := func(keys ...string) string {
		set, err := f.merge(ctx, c, paths, keys)
		for _, key := range keys {
			if err == nil && set.text(key, "") != "" {
				return set[key].from
			}
		}
		return finding.Default
	}
	return append(found, describe(origin)...), nil
}
