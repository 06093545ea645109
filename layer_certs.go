package main

import (
	"fmt"
	"log/slog"

	"github.com/alecthomas/kingpin/v2"

	"funlab.casa/attestation_exporter/certs"
	"funlab.casa/attestation_exporter/collector"
)

func addCertificate(app *kingpin.Application) build {
	var files, endpoints, chains []string
	app.Flag("collector.certificate.file", "Certificate file, or a glob pattern of them, instead of those of Keylime, DevID and step-ca. Repeatable.").
		PlaceHolder("GLOB").StringsVar(&files)
	app.Flag("collector.certificate.endpoint", "TLS endpoint, verified against the system's authorities or those in CAFILE; one handshake in 5 minutes. Repeatable.").
		PlaceHolder("HOST:PORT[@CAFILE]").StringsVar(&endpoints)
	app.Flag("collector.certificate.chain", "Certificate file whose chain is to verify against the authorities in CAFILE, instead of Keylime's. Repeatable.").
		PlaceHolder("FILE:CAFILE").StringsVar(&chains)
	return func(logger *slog.Logger) (collector.Collector, error) {
		config := certs.Config{Files: certs.DefaultFiles(), Chains: certs.DefaultChains()}
		if len(files) > 0 {
			config.Files = given(files)
		}
		if len(chains) > 0 {
			config.Chains = nil
		}
		for _, text := range chains {
			chain, err := certs.ParseChain(text)
			if err != nil {
				return nil, fmt.Errorf("--collector.certificate.chain: %w", err)
			}
			config.Chains = append(config.Chains, chain)
		}
		for _, text := range endpoints {
			endpoint, err := certs.ParseEndpoint(text)
			if err != nil {
				return nil, fmt.Errorf("--collector.certificate.endpoint: %w", err)
			}
			config.Endpoints = append(config.Endpoints, endpoint)
		}
		source, err := certs.NewSource(logger, config)
		if err != nil {
			return nil, fmt.Errorf("--collector.certificate: %w", err)
		}
		return collector.NewCertificate(source.Read), nil
	}
}

// given are files that the user named, and that must be there therefore.
func given(paths []string) []certs.File {
	files := make([]certs.File, 0, len(paths))
	for _, path := range paths {
		files = append(files, certs.File{Path: path})
	}
	return files
}
