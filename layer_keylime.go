package main

import (
	"fmt"
	"log/slog"
	"os"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/config"

	"funlab.casa/attestation_exporter/collector"
	"funlab.casa/attestation_exporter/keylime"
	"funlab.casa/attestation_exporter/reader"
)

// keylimeFiles finds Keylime's configuration as Keylime itself would.
func keylimeFiles() keylime.Files { return keylime.Files{LookupEnv: os.LookupEnv} }

// httpConfig adds the flag for a client identity, which is always the user's to
// give: any certificate of Keylime's CA is an administrator's.
func httpConfig(app *kingpin.Application, name string) func() (*config.HTTPClientConfig, error) {
	flag := "collector." + name + ".http-config"
	path := app.Flag(flag, "File in Prometheus' http_config form with the client certificate; without it the server isn't read.").
		PlaceHolder("FILE").String()
	return func() (*config.HTTPClientConfig, error) {
		if *path == "" {
			return nil, nil
		}
		loaded, err := keylime.LoadHTTPConfig(*path)
		if err != nil {
			return nil, fmt.Errorf("--%s: %w", flag, err)
		}
		return loaded, nil
	}
}

func addKeylimeVerifier(app *kingpin.Application) build {
	var options keylime.VerifierOptions
	app.Flag("collector.keylime-verifier.url", "URL of the verifier, with a proxy's path; default: from verifier.conf.").
		PlaceHolder("URL").StringVar(&options.URL)
	app.Flag("collector.keylime-verifier.id", "The verifier's uuid; default: from verifier.conf, else default.").
		PlaceHolder("UUID").StringVar(&options.ID)
	identity := httpConfig(app, "keylime-verifier")
	return func(*slog.Logger) (parts, error) {
		settings := topic[keylime.VerifierSettings]{"keylime-verifier", keylime.ErrAbsent, keylimeFiles().Verifier}
		return parts{
			questions: []*reader.Question{settings.question()},
			collector: func(client reader.Client) (_ collector.Collector, err error) {
				options.Settings = settings.by(client)
				if options.HTTP, err = identity(); err != nil {
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

func addKeylimeRegistrar(app *kingpin.Application) build {
	var options keylime.RegistrarOptions
	app.Flag("collector.keylime-registrar.url", "URL of the registrar's TLS port; default: from registrar.conf.").
		PlaceHolder("URL").StringVar(&options.URL)
	app.Flag("collector.keylime-registrar.max-agents", "Activated agents that get a series.").
		Default("10000").IntVar(&options.MaxAgents)
	identity := httpConfig(app, "keylime-registrar")
	return func(*slog.Logger) (parts, error) {
		settings := topic[keylime.RegistrarSettings]{"keylime-registrar", keylime.ErrAbsent, keylimeFiles().Registrar}
		return parts{
			questions: []*reader.Question{settings.question()},
			collector: func(client reader.Client) (_ collector.Collector, err error) {
				options.Settings = settings.by(client)
				if options.HTTP, err = identity(); err != nil {
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
func addKeylimeAgent(app *kingpin.Application, tpm *tpmLayer, spire *spireLayer) build {
	var address string
	app.Flag("collector.keylime-agent.address", "Where this host's agent listens; default: from agent.conf.").
		PlaceHolder("HOST:PORT").StringVar(&address)
	return func(logger *slog.Logger) (parts, error) {
		chip, err := tpm.topics(logger)
		if err != nil {
			return parts{}, err
		}
		settings := topic[keylime.AgentSettings]{"keylime-agent", keylime.ErrAbsent, keylimeFiles().Agent}
		return parts{
			questions: []*reader.Question{settings.question()},
			collector: func(client reader.Client) (collector.Collector, error) {
				agent := &keylime.LocalAgent{
					Address:  address,
					Settings: settings.by(client),
					EK:       ekOf(chip.tpm.by(client)),
					SPIFFEID: spiffeIDOf(spire.agentTopic().by(client)),
				}
				return collector.NewKeylimeAgent(agent.Read), nil
			},
		}, nil
	}
}
