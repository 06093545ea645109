package collector

import (
	"context"
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"funlab.casa/attestation_exporter/spire"
)

var (
	spirePluginMatches = newDesc("spire", "plugin_checksum_matches",
		"Whether the SHA-256 of the plugin's file is the one pinned in SPIRE's configuration; 0 means that SPIRE won't start again.",
		"plugin", "path")
	spirePluginPinned = newDesc("spire", "plugin_pinned",
		"Whether SPIRE's configuration pins the external plugin; 0 means that whoever can replace its file runs as SPIRE.",
		"plugin", "path")
	spirePluginFailed = newDesc("spire", "plugin_load_failed",
		"Pinned plugins whose file could not be compared, by reason; one that is not_found keeps SPIRE from starting again.",
		"plugin", "path", "reason")
)

type spirePluginsCollector struct {
	read func(context.Context) ([]spire.Pin, error)
}

// NewSPIREPlugins returns the collector of the external plugins of this host's
// SPIRE. It reads files only, and is one of its own because those of the server are
// worth a look where the server's socket isn't to be used.
func NewSPIREPlugins(read func(context.Context) ([]spire.Pin, error)) Collector {
	return spirePluginsCollector{read: read}
}

func (c spirePluginsCollector) Update(ctx context.Context, ch chan<- prometheus.Metric) error {
	pins, err := c.read(ctx)
	if errors.Is(err, spire.ErrAbsent) {
		return spireError("compare SPIRE's plugins", err)
	}
	for _, pin := range pins {
		claim(ch, spirePluginPinned, pin.Pinned, pin.Plugin, pin.Path)
		if pin.Matches != nil {
			claim(ch, spirePluginMatches, *pin.Matches, pin.Plugin, pin.Path)
		}
		if pin.Failed != "" {
			gauge(ch, spirePluginFailed, 1, pin.Plugin, pin.Path, string(pin.Failed))
		}
	}
	return spireError("compare SPIRE's plugins", err)
}
