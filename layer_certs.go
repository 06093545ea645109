package main

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/alecthomas/kingpin/v2"

	"funlab.casa/attestation_exporter/certs"
	"funlab.casa/attestation_exporter/collector"
	"funlab.casa/attestation_exporter/keylime"
	"funlab.casa/attestation_exporter/reader"
)

// certificateLayer is what the user said of certificates.
type certificateLayer struct {
	files, endpoints, chains []string
	named                    bool
	keylime                  *keylime.Files
	// watched are the names of the endpoints, once the collector is built.
	watched []string
}

func addCertificateLayer(app *kingpin.Application, files *keylime.Files) *certificateLayer {
	l := &certificateLayer{keylime: files}
	app.Flag("collector.certificate.file", "Certificate file, or a glob pattern of them, instead of the usual places of Keylime, DevID and step-ca. Repeatable.").
		PlaceHolder("GLOB").StringsVar(&l.files)
	app.Flag("collector.certificate.named", "Read the certificates, too, that Keylime's configuration files name.").
		Default("true").BoolVar(&l.named)
	app.Flag("collector.certificate.endpoint", "TLS endpoint, verified against the system's authorities or those in CAFILE; one handshake in 5 minutes. Repeatable.").
		PlaceHolder("HOST:PORT[@CAFILE]").StringsVar(&l.endpoints)
	app.Flag("collector.certificate.chain", "Certificate file whose chain is to verify against the authorities in CAFILE, instead of Keylime's. Repeatable.").
		PlaceHolder("FILE:CAFILE").StringsVar(&l.chains)
	return l
}

func (l *certificateLayer) build(logger *slog.Logger) (parts, error) {
	private := certs.Config{Files: certs.DefaultFiles(), Chains: certs.DefaultChains()}
	if len(l.files) > 0 {
		private.Files = given(l.files)
	}
	if l.named {
		private.Named = l.keylime.Certificates
	}
	if len(l.chains) > 0 {
		private.Chains = nil
	}
	for _, text := range l.chains {
		chain, err := certs.ParseChain(text)
		if err != nil {
			return parts{}, fmt.Errorf("--collector.certificate.chain: %w", err)
		}
		private.Chains = append(private.Chains, chain)
	}
	var public certs.Config
	for _, text := range l.endpoints {
		endpoint, err := certs.ParseEndpoint(text)
		if err != nil {
			return parts{}, fmt.Errorf("--collector.certificate.endpoint: %w", err)
		}
		public.Endpoints = append(public.Endpoints, endpoint)
		l.watched = append(l.watched, endpoint.Name())
	}
	onDisk, diskErr := certs.NewSource(logger, private)
	onNetwork, networkErr := certs.NewSource(logger, public)
	if err := errors.Join(diskErr, networkErr); err != nil {
		return parts{}, fmt.Errorf("--collector.certificate: %w", err)
	}
	return certificateParts(onDisk, onNetwork), nil
}

// certificateParts leave the files to the reader, and the endpoints to the exporter:
// the reader has no network.
func certificateParts(onDisk, onNetwork *certs.Source) parts {
	files := topic[certs.Reading]{"certificate", certs.ErrAbsent, onDisk.Read}
	places := files.places(onDisk.Findings)
	return parts{
		questions: []*reader.Question{files.question(), places.question()},
		collector: func(client reader.Client) (collector.Collector, error) {
			return collector.NewCertificate(certs.Join(files.by(client), onNetwork.Read)), nil
		},
		found: func(client reader.Client) look { return places.look(client).with(onNetwork.Findings) },
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
