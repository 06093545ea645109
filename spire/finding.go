package spire

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"funlab.casa/attestation_exporter/finding"
)

// findings are the places that an agent and a server have both. What of the
// configuration can't be followed is told by an error, without its text.
func (f *finder) findings(site site) []finding.Finding {
	found := []finding.Finding{
		finding.At("config", site.configPath, finding.Whether(len(f.given.Configs) > 0)),
		finding.At("data-dir", site.dataDir, site.dataFrom),
		finding.At("socket", site.socket.path, site.socketFrom),
	}
	from := finding.Flag
	if f.owner == "" {
		from = "data-dir" // whose owner it is
	}
	for _, owner := range site.socket.owners {
		found = append(found, finding.Named("user", strconv.FormatUint(uint64(owner), 10), from))
	}
	if domain := site.config.TrustDomain; domain != "" && !hasVariable(domain) {
		found = append(found, finding.Named("trust-domain", domain, site.configPath))
	}
	return found
}

// Findings says where the agent is read. It returns ErrAbsent as Read does.
func (a *Agent) Findings(context.Context) ([]finding.Finding, error) {
	site, err := a.finder.find()
	if err != nil {
		return nil, err
	}
	found := a.finder.findings(site)
	admin, from, adminErr := a.adminSocket(site)
	if admin != "" {
		found = append(found, finding.At("admin-socket", admin, from))
	}
	return found, errors.Join(site.configErr, adminErr)
}

// Findings says where the server is read. It returns ErrAbsent as Read does.
func (s *Server) Findings(context.Context) ([]finding.Finding, error) {
	site, err := s.finder.find()
	if err != nil {
		return nil, err
	}
	return s.finder.findings(site), site.configErr
}

// Findings says which configuration files are read for plugins, and which plugins
// they name. It returns ErrAbsent as Read does.
func (p *Plugins) Findings(context.Context) ([]finding.Finding, error) {
	var found []finding.Finding
	var errs []error
	for _, place := range p.places {
		path, there := firstThere(place.configs)
		if !there {
			continue
		}
		found = append(found, finding.At("config", path, place.from))
		config, _, err := p.configs.Load(path, maxConfig, parseConfig)
		if err != nil {
			errs = append(errs, fmt.Errorf("read configuration: %w", err))
		}
		for _, plugin := range config.Plugins {
			if follow("plugin_cmd", plugin.Path) == nil {
				found = append(found, finding.At("plugin", plugin.Path, path))
			}
		}
	}
	if len(found) == 0 {
		return nil, ErrAbsent
	}
	return found, errors.Join(errs...)
}

// Finding says where the bundle is asked for.
func (e *Endpoint) Finding() finding.Finding {
	return finding.URL("endpoint", e.url, e.from)
}
