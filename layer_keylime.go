package main

import (
	"context"
	"crypto"
	"fmt"
	"log/slog"
	"os"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/config"

	"funlab.casa/attestation_exporter/collector"
	"funlab.casa/attestation_exporter/keylime"
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
	options := keylime.VerifierOptions{Files: keylimeFiles()}
	app.Flag("collector.keylime-verifier.url", "URL of the verifier, with a proxy's path; default: from verifier.conf.").
		PlaceHolder("URL").StringVar(&options.URL)
	app.Flag("collector.keylime-verifier.id", "The verifier's uuid; default: from verifier.conf, else default.").
		PlaceHolder("UUID").StringVar(&options.ID)
	client := httpConfig(app, "keylime-verifier")
	return func(*slog.Logger) (_ collector.Collector, err error) {
		if options.HTTP, err = client(); err != nil {
			return nil, err
		}
		verifier, err := keylime.NewVerifier(options)
		if err != nil {
			return nil, fmt.Errorf("--collector.keylime-verifier: %w", err)
		}
		return collector.NewKeylimeVerifier(verifier.Read), nil
	}
}

func addKeylimeRegistrar(app *kingpin.Application) build {
	options := keylime.RegistrarOptions{Files: keylimeFiles()}
	app.Flag("collector.keylime-registrar.url", "URL of the registrar's TLS port; default: from registrar.conf.").
		PlaceHolder("URL").StringVar(&options.URL)
	app.Flag("collector.keylime-registrar.max-agents", "Activated agents that get a series.").
		Default("10000").IntVar(&options.MaxAgents)
	client := httpConfig(app, "keylime-registrar")
	return func(*slog.Logger) (_ collector.Collector, err error) {
		if options.HTTP, err = client(); err != nil {
			return nil, err
		}
		registrar, err := keylime.NewRegistrar(options)
		if err != nil {
			return nil, fmt.Errorf("--collector.keylime-registrar: %w", err)
		}
		return collector.NewKeylimeRegistrar(registrar.Read), nil
	}
}

// addKeylimeAgent takes the agent's id from the TPM or from its SPIRE twin where
// agent.conf leaves it open.
func addKeylimeAgent(app *kingpin.Application, ek func(context.Context) (crypto.PublicKey, error), spiffeID func(context.Context) (string, error)) build {
	agent := &keylime.LocalAgent{Files: keylimeFiles(), EK: ek, SPIFFEID: spiffeID}
	app.Flag("collector.keylime-agent.address", "Where this host's agent listens; default: from agent.conf.").
		PlaceHolder("HOST:PORT").StringVar(&agent.Address)
	return func(*slog.Logger) (collector.Collector, error) {
		return collector.NewKeylimeAgent(agent.Read), nil
	}
}
