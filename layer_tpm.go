package main

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"funlab.casa/attestation_exporter/boot"
	"funlab.casa/attestation_exporter/duty"
	"funlab.casa/attestation_exporter/ima"
	"funlab.casa/attestation_exporter/luks"
	"funlab.casa/attestation_exporter/tpm"
)

const (
	// shareTPM is how long one reading of the TPM serves the collectors of a
	// scrape. It is shorter than the time between two scrapes.
	shareTPM = 500 * time.Millisecond
	// bootPatience bounds a reading of the boot files and the EFI variables, which
	// are slow: each one is a call of the firmware's.
	bootPatience = 30 * time.Second
)

// tpmLayer has the options of what is read for the TPM, the measured boot and the
// disks that open by them.
type tpmLayer struct {
	device, pcrs, baseline     string
	deviceGiven, baselineGiven bool
	banks                      []string

	eventLog      string
	eventLogGiven bool
	bootFiles     []string
	luksDevices   []string

	made *tpmTopics // once they were asked for
}

func addTPMLayer(app *kingpin.Application) *tpmLayer {
	l := &tpmLayer{}
	app.Flag("collector.tpm.device", "TPM to read: a character device, or the Unix socket of an emulator.").
		Default(tpm.DefaultDevice).IsSetByUser(&l.deviceGiven).StringVar(&l.device)
	app.Flag("collector.tpm.pcrs", "PCRs to read, as a list with ranges.").Default("0-7").StringVar(&l.pcrs)
	app.Flag("collector.tpm.bank", "PCR bank to read. Repeatable.").Default(tpm.SHA256.String()).StringsVar(&l.banks)
	app.Flag("collector.tpm.baseline", "File with the PCR values that are expected, as the command baseline prints it.").
		Default(tpm.DefaultBaseline).IsSetByUser(&l.baselineGiven).StringVar(&l.baseline)
	app.Flag("collector.boot.event-log", "The firmware's event log.").
		Default(boot.DefaultEventLog).IsSetByUser(&l.eventLogGiven).StringVar(&l.eventLog)
	app.Flag("collector.boot.file", "Application that the next boot measures, or a glob pattern of them, instead of following the boot entries. Repeatable.").
		PlaceHolder("GLOB").StringsVar(&l.bootFiles)
	app.Flag("collector.luks.device", "Encrypted device or header file, instead of the open ones. Repeatable.").
		PlaceHolder("DEVICE").StringsVar(&l.luksDevices)
	return l
}

// tpmTopics share one reading of the TPM among the collectors of a scrape.
type tpmTopics struct {
	tpm  topic[tpm.Reading]
	boot topic[boot.Reading]
	luks topic[luks.Reading]

	// What each of them reads.
	tpmPlaces, bootPlaces, luksPlaces look
}

// rsaEKIndex is where a TPM keeps the certificate of its RSA 2048 endorsement key
// (TCG EK Credential Profile, section 2.2.1.4), the one that Keylime's agent uses
// unless it is told otherwise.
const rsaEKIndex = 0x01c00002

// ekOf returns the public endorsement key from its certificate in a reading of the
// TPM, and nil where the TPM holds none.
func ekOf(read func(context.Context) (tpm.Reading, error)) func(context.Context) (crypto.PublicKey, error) {
	return func(ctx context.Context) (crypto.PublicKey, error) {
		reading, err := read(ctx)
		for _, ek := range reading.EKCertificates {
			if ek.Index == rsaEKIndex && ek.PublicKey != nil {
				return x509.ParsePKIXPublicKey(ek.PublicKey)
			}
		}
		if errors.Is(err, tpm.ErrAbsent) {
			return nil, nil
		}
		return nil, err
	}
}

// topics are made once, for all who show them.
func (l *tpmLayer) topics(logger *slog.Logger) (*tpmTopics, error) {
	if l.made != nil {
		return l.made, nil
	}
	source, err := l.source()
	if err != nil {
		return nil, err
	}
	shared := tpm.NewShared(source, shareTPM)
	bootSource := &boot.Source{
		EventLog:      l.eventLog,
		EventLogGiven: l.eventLogGiven,
		Files:         l.bootFiles,
		Banks:         source.Selection.Banks(),
		PCRs:          offDuty(shared.Values),
		IMA:           &ima.Source{Directory: ima.DefaultDirectory},
		Logger:        logger.With("collector", "boot"),
	}
	luksSource := luks.Source{Devices: l.luksDevices, Measured: bootSource.Measured}
	l.made = &tpmTopics{
		tpm:  topic[tpm.Reading]{"tpm", tpm.ErrAbsent, shared.Read},
		boot: topic[boot.Reading]{"boot", boot.ErrAbsent, duty.New(bootPatience, bootSource.Read).Read},
		luks: topic[luks.Reading]{"luks", luks.ErrAbsent, luksSource.Read},

		tpmPlaces:  source.Findings,
		bootPlaces: bootSource.Findings,
		luksPlaces: luksSource.Findings,
	}
	return l.made, nil
}

// offDuty reads the TPM for the boot, whose limit is there for the firmware's sake:
// a TPM that was silent for half a minute would else cost it ten.
func offDuty(read func(context.Context, tpm.Selection) (tpm.Values, error)) func(context.Context, tpm.Selection) (tpm.Values, error) {
	return func(ctx context.Context, selection tpm.Selection) (values tpm.Values, err error) {
		duty.Elsewhere(ctx, func() { values, err = read(ctx, selection) })
		return values, err
	}
}

// build makes the parts of the collector that shows one of the topics.
func (l *tpmLayer) build(choose func(*tpmTopics) parts) build {
	return func(logger *slog.Logger) (parts, error) {
		topics, err := l.topics(logger)
		if err != nil {
			return parts{}, err
		}
		return choose(topics), nil
	}
}

func (l *tpmLayer) source() (*tpm.Source, error) {
	pcrs, err := tpm.ParsePCRs(l.pcrs)
	if err != nil {
		return nil, fmt.Errorf("--collector.tpm.pcrs: %w", err)
	}
	var banks []tpm.Bank
	for _, name := range l.banks {
		bank, err := tpm.ParseBank(name)
		if err != nil {
			return nil, fmt.Errorf("--collector.tpm.bank: %w", err)
		}
		banks = append(banks, bank)
	}
	return &tpm.Source{
		Device:        l.device,
		DeviceGiven:   l.deviceGiven,
		Sysfs:         tpm.DefaultSysfs,
		BootID:        tpm.DefaultBootID,
		Selection:     tpm.Select(pcrs, banks...),
		Baseline:      l.baseline,
		BaselineGiven: l.baselineGiven,
	}, nil
}

// printBaseline writes the PCRs that the flags select to out. It takes all of them
// or none: half a baseline would look like a whole one.
func (l *tpmLayer) printBaseline(ctx context.Context, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	source, err := l.source()
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
