package collector

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"funlab.casa/attestation_exporter/boot"
)

var (
	bootEventLogMatches = newDesc("boot", "event_log_matches",
		"Whether replaying the firmware's event log gives the PCR's value; absent on a host without a log, which is normal without Secure Boot.",
		"bank", "pcr")
	bootEventLogEvents = newDesc("boot", "event_log_events",
		"Events in the firmware's event log, the header of its format aside.")
	bootSecureBoot = newDesc("boot", "secure_boot_enabled",
		"Whether Secure Boot was on in this boot, as the event log says or else the EFI variable.", "source")
	bootFileMatches = newDesc("boot", "file_matches_measured",
		"Whether this boot measured what the next one will measure; 0 means that the PCR will differ.", "path", "pcr")
	bootForecast = newDesc("boot", "forecast_available",
		"Whether all files up to the kernel of the next boot could be compared; with 0, no mismatch is no promise.")
	imaMeasurements = newDesc("ima", "measurements_total",
		"Entries in the measurement list of Linux's IMA since boot, violations included.")
	imaViolations = newDesc("ima", "violations_total",
		"How often since boot a file was open for reading and for writing at once, so that its measurement proves nothing.")
)

type bootCollector struct {
	read func(context.Context) (boot.Reading, error)
}

// NewBoot makes the collector of how the host was started, and of what its next
// start will measure.
func NewBoot(read func(context.Context) (boot.Reading, error)) Collector {
	return &bootCollector{read: read}
}

// Update implements Collector.
func (c *bootCollector) Update(ctx context.Context, ch chan<- prometheus.Metric) error {
	reading, err := c.read(ctx)
	if errors.Is(err, boot.ErrAbsent) {
		return fmt.Errorf("%w: %w", ErrNoData, err)
	}
	if log := reading.Log; log != nil {
		gauge(ch, bootEventLogEvents, float64(log.Events))
		for _, match := range log.Matches {
			claim(ch, bootEventLogMatches, match.Matches, match.Bank.String(), strconv.Itoa(match.PCR))
		}
	}
	if state := reading.SecureBoot; state != nil {
		claim(ch, bootSecureBoot, state.Enabled, state.Source)
	}
	for _, file := range bootDistinct(reading.Files) {
		claim(ch, bootFileMatches, file.Matches, file.Path, strconv.Itoa(file.PCR))
	}
	if reading.Forecast != nil {
		claim(ch, bootForecast, *reading.Forecast)
	}
	if counts := reading.IMA; counts != nil {
		counter(ch, imaMeasurements, float64(counts.Measurements))
		counter(ch, imaViolations, float64(counts.Violations))
	}
	return err
}

// bootDistinct leaves out what is named twice: two patterns may find one file,
// and firmware may measure one variable again. A mismatch wins.
func bootDistinct(files []boot.File) []boot.File {
	type key struct {
		path string
		pcr  int
	}
	place := map[key]int{}
	var distinct []boot.File
	for _, file := range files {
		at, known := place[key{file.Path, file.PCR}]
		if !known {
			place[key{file.Path, file.PCR}] = len(distinct)
			distinct = append(distinct, file)
			continue
		}
		distinct[at].Matches = distinct[at].Matches && file.Matches
	}
	return distinct
}
