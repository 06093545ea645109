package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"funlab.casa/attestation_exporter/certs"
	"funlab.casa/attestation_exporter/collector"
	"funlab.casa/attestation_exporter/systemd"
	"funlab.casa/attestation_exporter/tpm"
)

// choices are the collectors that the command line knows, with their options.
type choices struct {
	disableDefaults *bool
	all             []*choice
	tpm             *tpmOptions
}

// A choice is one collector. Its build is called after the command line is parsed.
type choice struct {
	name    string
	enabled bool
	asked   bool // the user said whether
	build   func(logger *slog.Logger) (collector.Collector, error)
}

func addCollectors(app *kingpin.Application) *choices {
	c := &choices{}
	c.disableDefaults = app.Flag("collector.disable-defaults", "Run only the collectors that are enabled by their flag.").Bool()

	c.tpm = addTPM(app)
	c.add(app, "tpm", "PCRs, clock, lockout and self-test of the TPM, and its EK certificates.", c.tpm.build)
	c.add(app, "certificate", "Certificates in files and behind TLS endpoints.", addCertificate(app))
	c.add(app, "trust-bundle", "SPIFFE trust bundles in files.", addTrustBundle(app))
	c.add(app, "timer", "systemd timers and the services that they start.", addTimer(app))
	return c
}

func (c *choices) add(app *kingpin.Application, name, help string, build func(*slog.Logger) (collector.Collector, error)) {
	one := &choice{name: name, build: build}
	app.Flag("collector."+name, help).Default("true").IsSetByUser(&one.asked).BoolVar(&one.enabled)
	c.all = append(c.all, one)
}

// build makes the collectors that are enabled.
func (c *choices) build(logger *slog.Logger) (map[string]collector.Collector, error) {
	enabled := map[string]collector.Collector{}
	for _, one := range c.all {
		if !one.enabled || *c.disableDefaults && !one.asked {
			continue
		}
		built, err := one.build(logger)
		if err != nil {
			return nil, err
		}
		enabled[one.name] = built
	}
	if len(enabled) == 0 {
		return nil, errors.New("no collector is enabled: --collector.tpm enables one of them")
	}
	return enabled, nil
}

type tpmOptions struct {
	device, pcrs, baseline     string
	deviceGiven, baselineGiven bool
	banks                      []string
}

func addTPM(app *kingpin.Application) *tpmOptions {
	o := &tpmOptions{}
	app.Flag("collector.tpm.device", "TPM to read: a character device, or the Unix socket of an emulator.").
		Default(tpm.DefaultDevice).IsSetByUser(&o.deviceGiven).StringVar(&o.device)
	app.Flag("collector.tpm.pcrs", "PCRs to read, as a list with ranges.").Default("0-7").StringVar(&o.pcrs)
	app.Flag("collector.tpm.bank", "PCR bank to read. Repeatable.").Default("sha256").StringsVar(&o.banks)
	app.Flag("collector.tpm.baseline", "File with the PCR values that are expected, as the command baseline prints it.").
		Default(tpm.DefaultBaseline).IsSetByUser(&o.baselineGiven).StringVar(&o.baseline)
	return o
}

func (o *tpmOptions) source() (*tpm.Source, error) {
	pcrs, err := tpm.ParsePCRs(o.pcrs)
	if err != nil {
		return nil, fmt.Errorf("--collector.tpm.pcrs: %w", err)
	}
	var banks []tpm.Bank
	for _, name := range o.banks {
		bank, err := tpm.ParseBank(name)
		if err != nil {
			return nil, fmt.Errorf("--collector.tpm.bank: %w", err)
		}
		banks = append(banks, bank)
	}
	return &tpm.Source{
		Device:        o.device,
		DeviceGiven:   o.deviceGiven,
		Sysfs:         tpm.DefaultSysfs,
		BootID:        tpm.DefaultBootID,
		Selection:     tpm.Select(pcrs, banks...),
		Baseline:      o.baseline,
		BaselineGiven: o.baselineGiven,
	}, nil
}

func (o *tpmOptions) build(*slog.Logger) (collector.Collector, error) {
	source, err := o.source()
	if err != nil {
		return nil, err
	}
	return collector.NewTPM(source.Read), nil
}

// printBaseline writes the PCRs that the flags select to out. It takes all of them
// or none: half a baseline would look like a whole one.
func (o *tpmOptions) printBaseline(ctx context.Context, out io.Writer) error {
	source, err := o.source()
	if err != nil {
		return err
	}
	source.Baseline = "" // The one to be replaced says nothing about today.
	reading, err := source.Read(ctx)
	if err != nil {
		return fmt.Errorf("read the PCRs: %w", err)
	}
	return tpm.Baseline{Created: time.Now().UTC().Truncate(time.Second), PCRs: reading.PCRs}.Write(out)
}

func addCertificate(app *kingpin.Application) func(*slog.Logger) (collector.Collector, error) {
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

func addTrustBundle(app *kingpin.Application) func(*slog.Logger) (collector.Collector, error) {
	var files []string
	app.Flag("collector.trust-bundle.file", "Trust bundle, as PEM or SPIFFE JSON, instead of /etc/spire/trust-bundle.pem. Repeatable.").
		PlaceHolder("FILE").StringsVar(&files)
	return func(logger *slog.Logger) (collector.Collector, error) {
		bundles := certs.DefaultBundles()
		if len(files) > 0 {
			bundles = given(files)
		}
		source, err := certs.NewBundleSource(logger, bundles)
		if err != nil {
			return nil, fmt.Errorf("--collector.trust-bundle.file: %w", err)
		}
		return collector.NewTrustBundle(source.Read), nil
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

func addTimer(app *kingpin.Application) func(*slog.Logger) (collector.Collector, error) {
	var options systemd.Options
	app.Flag("collector.timer.include", "Timers to watch if they are installed, as an anchored regular expression.").
		Default(systemd.DefaultInclude).StringVar(&options.Include)
	app.Flag("collector.timer.expected", "Timer that must be there. Repeatable.").
		PlaceHolder("NAME.timer").StringsVar(&options.Expected)
	return func(*slog.Logger) (collector.Collector, error) {
		reader, err := systemd.New(options)
		if err != nil {
			return nil, fmt.Errorf("--collector.timer: %w", err)
		}
		return collector.NewTimer(reader.Read), nil
	}
}
