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
	"funlab.casa/attestation_exporter/collector"
	"funlab.casa/attestation_exporter/duty"
	"funlab.casa/attestation_exporter/ima"
	"funlab.casa/attestation_exporter/luks"
	"funlab.casa/attestation_exporter/reader"
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

	readings tpmReadings // once the collectors are built
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

// tpmReadings are the readings of the layer, made from the same options whether
// the exporter or its privileged reader does the reading.
type tpmReadings struct {
	tpm  func(context.Context) (tpm.Reading, error)
	boot func(context.Context) (boot.Reading, error)
	luks func(context.Context) (luks.Reading, error)
}

// rsaEKIndex is where a TPM keeps the certificate of its RSA 2048 endorsement key
// (TCG EK Credential Profile, section 2.2.1.4), the one that Keylime's agent uses
// unless it is told otherwise.
const rsaEKIndex = 0x01c00002

// ek returns the public endorsement key from its certificate, and nil where the TPM
// holds none.
func (l *tpmLayer) ek(ctx context.Context) (crypto.PublicKey, error) {
	reading, err := l.readings.tpm(ctx)
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

// direct reads with this process's own rights.
func (l *tpmLayer) direct(logger *slog.Logger) (tpmReadings, error) {
	source, err := l.source()
	if err != nil {
		return tpmReadings{}, err
	}
	shared := tpm.NewShared(source, shareTPM)
	bootSource := &boot.Source{
		EventLog:      l.eventLog,
		EventLogGiven: l.eventLogGiven,
		Files:         l.bootFiles,
		Banks:         source.Selection.Banks(),
		PCRs:          shared.Values,
		IMA:           &ima.Source{Directory: ima.DefaultDirectory},
		Logger:        logger.With("collector", "boot"),
	}
	return tpmReadings{
		tpm:  shared.Read,
		boot: duty.New(bootPatience, bootSource.Read).Read,
		luks: luks.Source{Devices: l.luksDevices, Measured: bootSource.Measured}.Read,
	}, nil
}

// orReader asks the privileged reader wherever its socket is, and else reads what
// this process may.
func (r tpmReadings) orReader(client reader.Client) tpmReadings {
	return tpmReadings{
		tpm:  preferReader(client, questionTPM, tpm.ErrAbsent, r.tpm),
		boot: preferReader(client, questionBoot, boot.ErrAbsent, r.boot),
		luks: preferReader(client, questionLUKS, luks.ErrAbsent, r.luks),
	}
}

func (r tpmReadings) collectors() map[string]collector.Collector {
	return map[string]collector.Collector{
		"tpm":  collector.NewTPM(r.tpm),
		"boot": collector.NewBoot(r.boot),
		"luks": collector.NewLUKS(r.luks),
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
