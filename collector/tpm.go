package collector

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"funlab.casa/attestation_exporter/tpm"
)

var (
	tpmInfo = newDesc("tpm", "info",
		"Facts about the TPM and where they were read; sysfs tells PCRs only, so the other labels are then empty.",
		"manufacturer", "vendor", "firmware_version", "spec_revision", "source")
	tpmPCRInfo = newDesc("tpm", "pcr_info",
		"Digest of a PCR that stays put after boot; the same boot must show the same digest.",
		"bank", "pcr", "digest", "boot")
	tpmPCRMatchesBaseline = newDesc("tpm", "pcr_matches_baseline",
		"Whether the PCR has the digest of the baseline file; absent for a PCR that could not be read.", "bank", "pcr")
	tpmPCRBaselineTimestamp = newDesc("tpm", "pcr_baseline_timestamp_seconds",
		"When the baseline was taken.")
	tpmPCRUpdates = newDesc("tpm", "pcr_updates_total",
		"Changes of any PCR since the last reset, as the TPM counts them; several for one measurement.")
	tpmResets = newDesc("tpm", "resets_total",
		"Resets of the TPM, one for each boot; falls to 0 when the TPM is cleared.")
	tpmRestarts = newDesc("tpm", "restarts_total",
		"Restarts and resumes of the TPM since its last reset, one for each time that the host slept.")
	tpmClock = newDesc("tpm", "clock_seconds",
		"Time that the TPM has been powered since it was last cleared.")
	tpmClockSafe = newDesc("tpm", "clock_safe",
		"Whether the TPM has never shown this or a later time before; 0 for a while after power was lost without a shutdown.")
	tpmLockoutFailures = newDesc("tpm", "lockout_failures",
		"Failed authorizations that the dictionary-attack protection counts at present.")
	tpmLockoutMaxFailures = newDesc("tpm", "lockout_max_failures",
		"Failed authorizations at which the TPM locks itself; 0 when it always is locked.")
	tpmLockedOut = newDesc("tpm", "locked_out",
		"Whether the dictionary-attack protection refuses authorizations at present.")
	tpmSelfTestPassed = newDesc("tpm", "self_test_passed",
		"Whether the TPM passed its self-test; 0 only in failure mode, absent while a test is still to be done.")
)

type tpmCollector struct {
	read func(context.Context) (tpm.Reading, error)
}

// NewTPM makes the collector of the host's TPM.
func NewTPM(read func(context.Context) (tpm.Reading, error)) Collector {
	return &tpmCollector{read: read}
}

// Update implements Collector.
func (c *tpmCollector) Update(ctx context.Context, ch chan<- prometheus.Metric) error {
	reading, err := c.read(ctx)
	if errors.Is(err, tpm.ErrAbsent) {
		return fmt.Errorf("%w: %w", ErrNoData, err)
	}
	tpmSendInfo(ch, reading)
	tpmSendPCRs(ch, reading)
	tpmSendState(ch, reading)
	tpmSendEKCertificates(ch, reading.EKCertificates)
	return err
}

func tpmSendInfo(ch chan<- prometheus.Metric, reading tpm.Reading) {
	facts := reading.Properties
	if facts == nil {
		if reading.Source != tpm.FromSysfs {
			return
		}
		facts = &tpm.Properties{}
	}
	gauge(ch, tpmInfo, 1, facts.Manufacturer, facts.Vendor, facts.Firmware, facts.Revision, reading.Source)
}

func tpmSendPCRs(ch chan<- prometheus.Metric, reading tpm.Reading) {
	for _, pcr := range reading.PCRs {
		if tpm.StaysPut(pcr.Index) {
			gauge(ch, tpmPCRInfo, 1, pcr.Bank.String(), strconv.Itoa(pcr.Index), pcr.Digest.String(), reading.Boot)
		}
	}
	if reading.PCRUpdates != nil {
		counter(ch, tpmPCRUpdates, float64(*reading.PCRUpdates))
	}
	if baseline := reading.Baseline; baseline != nil {
		moment(ch, tpmPCRBaselineTimestamp, baseline.Created)
		tpmSendMatches(ch, baseline.Matches, true)
		tpmSendMatches(ch, baseline.Differs, false)
	}
}

func tpmSendMatches(ch chan<- prometheus.Metric, pcrs tpm.Selection, match bool) {
	for bank, set := range pcrs {
		for index := range set.All() {
			claim(ch, tpmPCRMatchesBaseline, match, bank.String(), strconv.Itoa(index))
		}
	}
}

func tpmSendState(ch chan<- prometheus.Metric, reading tpm.Reading) {
	if clock := reading.Clock; clock != nil {
		counter(ch, tpmResets, float64(clock.Resets))
		counter(ch, tpmRestarts, float64(clock.Restarts))
		gauge(ch, tpmClock, clock.Running.Seconds())
		claim(ch, tpmClockSafe, clock.Safe)
	}
	if lockout := reading.Lockout; lockout != nil {
		gauge(ch, tpmLockoutFailures, float64(lockout.Failures))
		gauge(ch, tpmLockoutMaxFailures, float64(lockout.MaxFailures))
		claim(ch, tpmLockedOut, lockout.LockedOut)
	}
	switch reading.SelfTest {
	case tpm.SelfTestPassed:
		claim(ch, tpmSelfTestPassed, true)
	case tpm.SelfTestFailed:
		claim(ch, tpmSelfTestPassed, false)
	case tpm.SelfTestUnknown:
	}
}

func tpmSendEKCertificates(ch chan<- prometheus.Metric, certificates []tpm.EKCertificate) {
	for _, ek := range certificates {
		name := fmt.Sprintf("0x%08x", ek.Index)
		if ek.Failed != "" {
			gauge(ch, certificateLoadFailed, 1, "ek", name, string(ek.Failed))
			continue
		}
		sendCertificate(ch, "ek", name, ek.Certificate)
	}
}
