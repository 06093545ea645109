package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/config"

	"funlab.casa/attestation_exporter/collector"
	"funlab.casa/attestation_exporter/finding"
	"funlab.casa/attestation_exporter/keylime"
	"funlab.casa/attestation_exporter/reader"
)

// httpConfig adds the flag for a client identity, which is always the user's to
// give: any certificate of Keylime's CA is an administrator's.
func httpConfig(app *kingpin.Application, name string) *identity {
	i := &identity{flag: "collector." + name + ".http-config"}
	app.Flag(i.flag, "File in Prometheus' http_config form with the client certificate; without it the server isn't read.").
		PlaceHolder("FILE").StringVar(&i.path)
	return i
}

// An identity is what a server of Keylime's is shown.
type identity struct {
	flag, path string
}

// load returns nil where the user gave none.
func (i *identity) load() (*config.HTTPClientConfig, error) {
	if i.path == "" {
		return nil, nil
	}
	loaded, err := keylime.LoadHTTPConfig(i.path)
	if err != nil {
		return nil, fmt.Errorf("--%s: %w", i.flag, err)
	}
	return loaded, nil
}

// finding also tells of none, for without it the server isn't read.
func (i *identity) finding() finding.Finding {
	if i.path == "" {
		return finding.Finding{What: "http-config", From: finding.Default, State: finding.Absent}
	}
	return finding.At("http-config", i.path, finding.Flag)
}

// overruled puts what this command line says in the place of what Keylime's
// configuration does. A flag with no place wasn't given. A host without that
// configuration isn't without Keylime if a flag was.
func overruled(found look, said ...finding.Finding) look {
	byFlag := func(f finding.Finding) bool { return f.From == finding.Flag }
	said = slices.DeleteFunc(said, func(f finding.Finding) bool { return byFlag(f) && f.Place == "" })
	return func(ctx context.Context) ([]finding.Finding, error) {
		all, err := found(ctx)
		if errors.Is(err, keylime.ErrAbsent) {
			if !slices.ContainsFunc(said, byFlag) {
				return nil, err
			}
			err = nil
		}
		for _, one := range said {
			all = slices.DeleteFunc(all, func(f finding.Finding) bool { return f.What == one.What })
			all = append(all, one)
		}
		return all, err
	}
}

func addKeylimeVerifier(app *kingpin.Application, files *keylime.Files) build {
	var options keylime.VerifierOptions
	app.Flag("collector.keylime-verifier.url", "URL of the verifier, with a proxy's path; default: from verifier.conf.").
		PlaceHolder("URL").StringVar(&options.URL)
	app.Flag("collector.keylime-verifier.id", "The verifier's uuid; default: from verifier.conf, else default.").
		PlaceHolder("UUID").StringVar(&options.ID)
	identity := httpConfig(app, "keylime-verifier")
	return func(*slog.Logger) (parts, error) {
		settings := topic[keylime.VerifierSettings]{"keylime-verifier", keylime.ErrAbsent, files.Verifier}
		places := settings.places(files.VerifierFindings)
		return parts{
			questions: []*reader.Question{settings.question(), places.question()},
			found: func(client reader.Client) look {
				return overruled(places.look(client), finding.URL("url", options.URL, finding.Flag), finding.Named("id", options.ID, finding.Flag), identity.finding())
			},
			collector: func(client reader.Client) (_ collector.Collector, err error) {
				options.Settings = settings.by(client)
				if options.HTTP, err = identity.load(); err != nil {
					return nil, err
				}
				verifier, err := keylime.NewVerifier(options)
				if err != nil {
					return nil, fmt.Errorf("--collector.keylime-verifier: %w", err)
				}
				return collector.NewKeylimeVerifier(verifier.Read), nil
			},
		}, nil
	}
}

func addKeylimeRegistrar(app *kingpin.Application, files *keylime.Files) build {
	var options keylime.RegistrarOptions
	app.Flag("collector.keylime-registrar.url", "URL of the registrar's TLS port; default: from registrar.conf.").
		PlaceHolder("URL").StringVar(&options.URL)
	app.Flag("collector.keylime-registrar.max-agents", "Activated agents that get a series.").
		Default("10000").IntVar(&options.MaxAgents)
	identity := httpConfig(app, "keylime-registrar")
	return func(*slog.Logger) (parts, error) {
		settings := topic[keylime.RegistrarSettings]{"keylime-registrar", keylime.ErrAbsent, files.Registrar}
		places := settings.places(files.RegistrarFindings)
		return parts{
			questions: []*reader.Question{settings.question(), places.question()},
			found: func(client reader.Client) look {
				return overruled(places.look(client), finding.URL("url", options.URL, finding.Flag), identity.finding())
			},
			collector: func(client reader.Client) (_ collector.Collector, err error) {
				options.Settings = settings.by(client)
				if options.HTTP, err = identity.load(); err != nil {
					return nil, err
				}
				registrar, err := keylime.NewRegistrar(options)
				if err != nil {
					return nil, fmt.Errorf("--collector.keylime-registrar: %w", err)
				}
				return collector.NewKeylimeRegistrar(registrar.Read), nil
			},
		}, nil
	}
}

// addKeylimeAgent takes the agent's id from the TPM or from its SPIRE twin where
// agent.conf leaves it open.
func addKeylimeAgent(app *kingpin.Application, files *keylime.Files, tpm *tpmLayer, spire *spireLayer, certificates *certificateLayer) build {
	var address string
	app.Flag("collector.keylime-agent.address", "Where this host's agent listens; default: from agent.conf.").
		PlaceHolder("HOST:PORT").StringVar(&address)
	return func(logger *slog.Logger) (parts, error) {
		chip, err := tpm.topics(logger)
		if err != nil {
			return parts{}, err
		}
		settings := topic[keylime.AgentSettings]{"keylime-agent", keylime.ErrAbsent, files.Agent}
		places := settings.places(files.AgentFindings)
		return parts{
			questions: []*reader.Question{settings.question(), places.question()},
			found: func(client reader.Client) look {
				return overruled(places.look(client), finding.Named("address", address, finding.Flag))
			},
			collector: func(client reader.Client) (collector.Collector, error) {
				agent := &keylime.LocalAgent{
					Address:  address,
					Settings: settings.by(client),
					EK:       ekOf(chip.tpm.by(client)),
					SPIFFEID: spiffeIDOf(spire.agentTopic().by(client)),
				}
				return collector.NewKeylimeAgent(withoutWatched(agent.Read, certificates)), nil
			},
		}, nil
	}
}

// withoutWatched leaves the agent's certificate to the collector of certificates
// where the user named the agent as an endpoint, too. That one shows more of it, and
// two collectors must not send the same series.
func withoutWatched(read func(context.Context) (keylime.LocalAgentReading, error), certificates *certificateLayer) func(context.Context) (keylime.LocalAgentReading, error) {
	return func(ctx context.Context) (keylime.LocalAgentReading, error) {
		reading, err := read(ctx)
		if slices.Contains(certificates.watched, reading.Address) {
			reading.Certificate = nil
		}
		return reading, err
	}
}
