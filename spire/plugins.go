package spire

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"syscall"

	"funlab.casa/attestation_exporter/failure"
	"funlab.casa/attestation_exporter/finding"
	"funlab.casa/attestation_exporter/regular"
)

// maxPlugin bounds a plugin's file. Go programs have tens of megabytes.
const maxPlugin = 1 << 30

// PluginOptions names the configuration files; empty lists stand for the standard
// places.
type PluginOptions struct {
	AgentConfigs  []string
	ServerConfigs []string
}

// Plugins compares the external plugins of this host's SPIRE with their pins. It is
// safe for concurrent use.
type Plugins struct {
	places  []pluginPlace
	configs regular.Memory[Config]
	hashes  regular.Memory[[sha256.Size]byte]
}

// NewPlugins makes a Plugins.
func NewPlugins(options PluginOptions) *Plugins {
	place := func(given []string, standard Place) pluginPlace {
		return pluginPlace{Place{Configs: given}.or(standard).Configs, finding.Whether(len(given) > 0)}
	}
	return &Plugins{places: []pluginPlace{
		place(options.AgentConfigs, defaultAgent()),
		place(options.ServerConfigs, defaultServer()),
	}}
}

// A pluginPlace lists where one configuration file may be, and who said so.
type pluginPlace struct {
	configs []string
	from    string
}

// A PinReason says in one word why a plugin's file could not be compared.
type PinReason string

// The reasons.
const (
	PinNotFound   PinReason = "not_found"  // SPIRE's next start fails too
	PinPermission PinReason = "permission" // the operating system refused
	PinRelative   PinReason = "relative"   // no absolute path, and only SPIRE knows what it starts from
	PinVariable   PinReason = "variable"   // an environment variable in path or checksum, and only SPIRE can expand it
	PinReadError  PinReason = "read_error" // not a regular file, too large, changing, or unreadable otherwise
)

// A Pin is a plugin and whether its file is the pinned one.
type Pin struct {
	// Plugin is "<type> <name>".
	Plugin string
	Path   string
	// Pinned is whether the configuration has a checksum.
	Pinned bool
	// Matches is nil where there is nothing to compare.
	Matches *bool
	Failed  PinReason
}

// Read compares all plugins that agent.conf and server.conf name, each once.
// SPIRE compares when it starts a plugin, so a mismatch shows at its next restart,
// and here at once.
func (p *Plugins) Read(ctx context.Context) ([]Pin, error) {
	var pins []Pin
	var errs []error
	here := false
	seen := map[[2]string]bool{}
	for _, place := range p.places {
		path, there := firstThere(place.configs)
		if !there {
			continue
		}
		here = true
		config, _, err := p.configs.Load(path, maxConfig, parseConfig)
		if err != nil {
			errs = append(errs, fmt.Errorf("read configuration: %w", err))
			continue
		}
		for _, plugin := range config.Plugins {
			if err := ctx.Err(); err != nil {
				return pins, err
			}
			if key := [2]string{plugin.Name, plugin.Path}; !seen[key] {
				seen[key] = true
				pins = append(pins, p.compare(plugin))
			}
		}
	}
	if !here {
		return nil, ErrAbsent
	}
	return pins, errors.Join(errs...)
}

func (p *Plugins) compare(plugin Plugin) Pin {
	pin := Pin{Plugin: plugin.Name, Path: plugin.Path, Pinned: plugin.Checksum != ""}
	if !pin.Pinned {
		return pin
	}
	switch {
	case hasVariable(plugin.Path), hasVariable(plugin.Checksum):
		pin.Failed = PinVariable
		return pin
	case !filepath.IsAbs(plugin.Path):
		pin.Failed = PinRelative
		return pin
	}
	sum, _, err := p.hashes.Load(plugin.Path, maxPlugin, hash)
	if err != nil {
		pin.Failed = pinReason(err)
		return pin
	}
	matches := matchesPin(sum, plugin.Checksum)
	pin.Matches = &matches
	return pin
}

func hash(r io.Reader) (sum [sha256.Size]byte, err error) {
	digest := sha256.New()
	if _, err := io.Copy(digest, r); err != nil {
		return sum, err
	}
	return [sha256.Size]byte(digest.Sum(nil)), nil
}

// matchesPin compares as SPIRE does: the pin is hexadecimal in either case. A pin
// that isn't a SHA-256 at all can't match, and stops SPIRE's start as well.
func matchesPin(sum [sha256.Size]byte, pin string) bool {
	want, err := hex.DecodeString(pin)
	return err == nil && bytes.Equal(sum[:], want)
}

func pinReason(err error) PinReason {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return PinNotFound
	case failure.Of(err) == failure.Permission:
		return PinPermission
	default:
		return PinReadError
	}
}
