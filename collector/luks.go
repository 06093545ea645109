package collector

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"funlab.casa/attestation_exporter/luks"
)

var (
	luksBindingSatisfied = newDesc("luks", "binding_satisfied",
		"Whether the PCR values that this boot was measured to satisfy the binding; says nothing about the TPM, which must still be the one that sealed it.",
		"device", "token", "type", "bank", "pcrs")
	luksBindingForetellable = newDesc("luks", "binding_foretellable",
		"Whether the PCR values of a boot decide about the binding; 0 for signed policies, PINs, PCRs that move after boot, and where event log and TPM disagree.",
		"device", "token", "type")
	luksBindingPCRInfo = newDesc("luks", "binding_pcr_info",
		"A PCR that the binding stands on: if it changes, the binding no longer opens.",
		"device", "token", "bank", "pcr")
	luksKeyslots = newDesc("luks", "keyslots",
		"Keyslots that open the device, by what they need; with 0 of type other there is no way in when the TPM refuses.",
		"device", "type")
	luksHeaderReadable = newDesc("luks", "header_readable",
		"Whether the device's header could be read; a LUKS1 header has no TPM bindings to look for.", "device", "format")
)

type luksCollector struct {
	read func(context.Context) (luks.Reading, error)
}

// NewLUKS makes the collector of the encrypted devices and their TPM bindings.
func NewLUKS(read func(context.Context) (luks.Reading, error)) Collector {
	return &luksCollector{read: read}
}

// Update implements Collector.
func (c *luksCollector) Update(ctx context.Context, ch chan<- prometheus.Metric) error {
	reading, err := c.read(ctx)
	if errors.Is(err, luks.ErrAbsent) {
		return fmt.Errorf("%w: %w", ErrNoData, err)
	}
	seen := map[string]bool{}
	for _, device := range reading.Devices {
		// A device without a header has nothing to read, and one may be named twice.
		if device.Format == luks.Plain || seen[device.Path] {
			continue
		}
		seen[device.Path] = true
		luksSendDevice(ch, device)
	}
	return err
}

func luksSendDevice(ch chan<- prometheus.Metric, device luks.Device) {
	claim(ch, luksHeaderReadable, device.Readable, device.Path, string(device.Format))
	if !device.Readable || device.Format != luks.LUKS2 {
		return
	}
	gauge(ch, luksKeyslots, float64(device.Keyslots.TPM), device.Path, "tpm")
	gauge(ch, luksKeyslots, float64(device.Keyslots.Other), device.Path, "other")
	for _, binding := range device.Bindings {
		luksSendBinding(ch, device.Path, binding)
	}
}

func luksSendBinding(ch chan<- prometheus.Metric, device string, binding luks.Binding) {
	for _, pcr := range binding.StandsOn {
		gauge(ch, luksBindingPCRInfo, 1, device, binding.Token, pcr.Bank.String(), strconv.Itoa(pcr.Index))
	}
	switch binding.Verdict {
	case luks.Unread:
		return
	case luks.Unforetellable:
		claim(ch, luksBindingForetellable, false, device, binding.Token, string(binding.Type))
	case luks.Satisfied, luks.Unsatisfied:
		claim(ch, luksBindingForetellable, true, device, binding.Token, string(binding.Type))
		claim(ch, luksBindingSatisfied, binding.Verdict == luks.Satisfied,
			device, binding.Token, string(binding.Type), binding.Bank, binding.PCRs)
	}
}
