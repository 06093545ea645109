package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/alecthomas/kingpin/v2"

	"funlab.casa/attestation_exporter/certs"
	"funlab.casa/attestation_exporter/collector"
	"funlab.casa/attestation_exporter/finding"
	"funlab.casa/attestation_exporter/reader"
	"funlab.casa/attestation_exporter/spire"
)

// spireLayer has the options of what is read of SPIRE, and of the copies of its
// trust bundles.
type spireLayer struct {
	agent  spire.AgentOptions
	server spire.ServerOptions

	bundles, endpoints []string
	anchors            string

	// The server is asked for its bundle only where its collector was asked for.
	serverChoice *choice
	// readings makes the agent and the server once, for all who read them.
	readings func() spireReadings
}

// spireReadings share the connections to one agent and one server.
type spireReadings struct {
	agent  *spire.Agent
	server *spire.Server
}

func addSPIRELayer(app *kingpin.Application) *spireLayer {
	l := &spireLayer{}
	l.readings = sync.OnceValue(func() spireReadings {
		return spireReadings{agent: spire.NewAgent(l.agent), server: spire.NewServer(l.server)}
	})
	place := func(name string, p *spire.Place, user *string) {
		prefix := "collector." + name + "."
		app.Flag(prefix+"config", "SPIRE's configuration file; default: the standard places. Repeatable.").PlaceHolder("FILE").StringsVar(&p.Configs)
		app.Flag(prefix+"data-dir", "SPIRE's data directory; default: as its configuration says. Repeatable.").PlaceHolder("DIR").StringsVar(&p.DataDirs)
		app.Flag(prefix+"socket", "SPIRE's socket; default: as its configuration says. Repeatable.").PlaceHolder("SOCKET").StringsVar(&p.Sockets)
		app.Flag(prefix+"user", "User who must be listening on the socket; default: the data directory's owner.").PlaceHolder("USER").StringVar(user)
	}
	place("spire-agent", &l.agent.Place, &l.agent.User)
	app.Flag("collector.spire-agent.admin-socket", "Socket of the agent's debug API; default: as its configuration says.").
		PlaceHolder("SOCKET").StringVar(&l.agent.AdminSocket)
	app.Flag("collector.spire-agent.workload-api", "Ask for the bundles by the Workload API, too, as a workload does.").
		BoolVar(&l.agent.WorkloadAPI)
	place("spire-server", &l.server.Place, &l.server.User)
	app.Flag("collector.trust-bundle.file", "Trust bundle, as PEM or SPIFFE JSON, instead of /etc/spire/trust-bundle.pem. Repeatable.").
		PlaceHolder("FILE").StringsVar(&l.bundles)
	app.Flag("collector.trust-bundle.endpoint", "Bundle endpoint to compare copies with, by the profile https_web, or https_spiffe where the server's SPIFFE ID is named. Repeatable.").
		PlaceHolder("TRUST_DOMAIN,URL[,SPIFFE_ID]").StringsVar(&l.endpoints)
	app.Flag("collector.trust-bundle.endpoint-anchors", "PEM file with the authorities that verify the SVID of an https_spiffe endpoint.").
		PlaceHolder("FILE").StringVar(&l.anchors)
	return l
}

// spiffeIDOf returns the SPIRE agent's own id from a reading of it; empty where there
// is none, or nobody may tell.
func spiffeIDOf(read func(context.Context) (spire.AgentReading, error)) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		reading, err := read(ctx)
		switch {
		case reading.Identity != nil:
			return reading.Identity.ID, nil
		case errors.Is(err, spire.ErrAbsent):
			return "", nil
		}
		return "", err
	}
}

func (l *spireLayer) agentTopic() topic[spire.AgentReading] {
	return topic[spire.AgentReading]{"spire-agent", spire.ErrAbsent, l.readings().agent.Read}
}

func (l *spireLayer) buildAgent(*slog.Logger) (parts, error) {
	return partsOf(l.agentTopic(), l.readings().agent.Findings, collector.NewSPIREAgent), nil
}

func (l *spireLayer) buildServer(*slog.Logger) (parts, error) {
	server := topic[spire.ServerReading]{"spire-server", spire.ErrAbsent, l.readings().server.Read}
	return partsOf(server, l.readings().server.Findings, collector.NewSPIREServer), nil
}

func (l *spireLayer) buildPlugins(*slog.Logger) (parts, error) {
	plugins := spire.NewPlugins(spire.PluginOptions{
		AgentConfigs:  l.agent.Place.Configs,
		ServerConfigs: l.server.Place.Configs,
	})
	pins := topic[[]spire.Pin]{"spire-plugins", spire.ErrAbsent, plugins.Read}
	return partsOf(pins, plugins.Findings, collector.NewSPIREPlugins), nil
}

// bundleFiles are those that the user named, else the standard ones and the one
// that agent.conf names.
func (l *spireLayer) bundleFiles() []certs.File {
	if len(l.bundles) > 0 {
		return given(l.bundles)
	}
	files := certs.DefaultBundles()
	named, _ := l.readings().agent.BundleFile()
	if named != "" && !slices.ContainsFunc(files, func(f certs.File) bool { return f.Path == named }) {
		files = append(files, certs.File{Path: named, Optional: true})
	}
	return files
}

// bundlePlaces are the files, with who named each.
func (l *spireLayer) bundlePlaces(files []certs.File) look {
	return func(context.Context) ([]finding.Finding, error) {
		named, config := l.readings().agent.BundleFile()
		var found []finding.Finding
		for _, file := range files {
			from := finding.Whether(!file.Optional)
			if file.Optional && file.Path == named {
				from = config
			}
			found = append(found, finding.At("file", file.Path, from))
		}
		return found, nil
	}
}

func endpointPlaces(asked func() []*spire.Endpoint) look {
	return func(context.Context) ([]finding.Finding, error) {
		var found []finding.Finding
		for _, endpoint := range asked() {
			found = append(found, endpoint.Finding())
		}
		return found, nil
	}
}

// foundEndpoint is the bundle endpoint that server.conf switches on, if any, where
// the server itself isn't asked. A copy of the bundle verifies it unless the user
// named other anchors.
func (l *spireLayer) foundEndpoint(logger *slog.Logger, bundles []certs.File) *spire.Endpoint {
	if l.serverChoice.enabled || len(l.endpoints) > 0 {
		return nil
	}
	endpoint, err := l.readings().server.Endpoint(cmp.Or(l.anchors, bundles[0].Path))
	if err != nil {
		logger.Debug("No bundle endpoint was found", "err", err)
		return nil
	}
	return endpoint
}

// liveTopic is the live bundle by whoever knows it on this host: the server knows
// most, then comes the agent.
func (l *spireLayer) liveTopic() topic[[]certs.LiveBundle] {
	sources := []spire.LiveSource{l.readings().agent.Live}
	if l.serverChoice.enabled {
		sources = slices.Insert(sources, 0, l.readings().server.Live)
	}
	return topic[[]certs.LiveBundle]{"live-bundle", spire.ErrAbsent, spire.MergeLive(sources...)}
}

// buildTrustBundle reads the copies in files and the agent's own, and compares them
// with the live bundle of whoever may be asked. Bundle endpoints come last, and are
// for the exporter: the reader has no network.
func (l *spireLayer) buildTrustBundle(logger *slog.Logger) (parts, error) {
	bundles := l.bundleFiles()
	source, err := certs.NewBundleSource(logger, bundles)
	if err != nil {
		return parts{}, fmt.Errorf("--collector.trust-bundle.file: %w", err)
	}
	var endpoints []*spire.Endpoint
	for _, text := range l.endpoints {
		endpoint, err := spire.ParseEndpoint(text, l.anchors)
		if err != nil {
			return parts{}, fmt.Errorf("--collector.trust-bundle.endpoint: %w", err)
		}
		endpoints = append(endpoints, endpoint)
	}
	copies := topic[certs.BundleReading]{"trust-bundle", certs.ErrAbsent, spire.WithCached(source.Read, l.readings().agent.Cached)}
	live := l.liveTopic()
	places := copies.places(l.bundlePlaces(bundles))
	asked := func() []*spire.Endpoint {
		if found := l.foundEndpoint(logger, bundles); found != nil {
			return []*spire.Endpoint{found}
		}
		return endpoints
	}
	return parts{
		questions: []*reader.Question{copies.question(), live.question(), places.question()},
		found:     func(client reader.Client) look { return places.look(client).with(endpointPlaces(asked)) },
		collector: func(client reader.Client) (collector.Collector, error) {
			sources := []spire.LiveSource{live.by(client)}
			for _, endpoint := range asked() {
				sources = append(sources, endpoint.Live)
			}
			return collector.NewTrustBundle(spire.WithLive(copies.by(client), spire.MergeLive(sources...))), nil
		},
	}, nil
}
