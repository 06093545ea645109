package boot

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"strings"

	"funlab.casa/attestation_exporter/failure"
)

// A place is a path as GRUB sees it: on a device that a search has found.
type place struct{ device, path string }

// A volumes reads files as GRUB would.
type volumes interface {
	read(at place) ([]byte, error)
	exists(at place) bool
	entries(directory place) ([]loaderEntry, error)
}

// How GRUB calls the partition that it was started from, here.
const startDevice = "start"

// The bounds of a script: commands, functions within functions and files within
// files, and the memory that variables may take.
const (
	maxCommands  = 20_000
	maxCalls     = 16
	maxVariables = 1 << 20
)

// A grub runs a configuration as GRUB will at the next boot, up to the point where
// a kernel is loaded. It knows the commands that decide about that; all others
// succeed and do nothing.
type grub struct {
	volumes   volumes
	env       map[string]string
	exported  map[string]bool
	functions map[string][]statement
	menu      []menuEntry
	kernel    place
	finished  bool // another file's menu has taken over
	commands  int
	calls     int
	held      int // bytes in variables
	err       error
}

// grubKernel returns the kernel, or other EFI application, that GRUB will start
// from the configuration at config unless somebody chooses another entry.
func grubKernel(volumes volumes, config place) (place, error) {
	g := &grub{
		volumes:   volumes,
		env:       map[string]string{"root": config.device, "prefix": "(" + config.device + ")" + path.Dir(config.path), "grub_platform": "efi"},
		exported:  map[string]bool{"root": true, "prefix": true},
		functions: map[string][]statement{},
	}
	g.source(config)
	g.choose(g.env["default"])
	switch {
	case g.err != nil:
		return place{}, g.err
	case g.kernel == place{}:
		return place{}, errors.New("GRUB's default entry starts no kernel")
	}
	return g.kernel, nil
}

func (g *grub) fail(err error) {
	if g.err == nil {
		g.err = err
	}
}

// source runs a file's commands in place.
func (g *grub) source(at place) {
	if g.calls++; g.calls > maxCalls {
		g.fail(failure.Errorf(failure.Malformed, "GRUB script: files within files"))
		return
	}
	defer func() { g.calls-- }()
	text, err := g.volumes.read(at)
	if err != nil {
		g.fail(fmt.Errorf("read GRUB's %s: %w", at.path, err))
		return
	}
	statements, err := parseScript(string(text))
	if err != nil {
		g.fail(fmt.Errorf("%s: %w", at.path, err))
		return
	}
	g.run(statements)
}

// configfile runs a file in a menu of its own, to which only exported variables
// come along.
func (g *grub) configfile(at place) {
	maps.DeleteFunc(g.env, func(name, _ string) bool { return !g.exported[name] })
	g.menu, g.functions = nil, map[string][]statement{}
	g.source(at)
	g.finished = true
}

// run returns whether the last command succeeded.
func (g *grub) run(statements []statement) bool {
	ok := true
	for _, s := range statements {
		if g.commands++; g.commands > maxCommands {
			g.fail(failure.Errorf(failure.Malformed, "GRUB script: more than %d commands", maxCommands))
		}
		if g.err != nil || g.finished {
			return ok
		}
		switch {
		case s.branches != nil:
			ok = g.branch(s.branches)
		case s.loop:
			g.loop(s)
			ok = true
		default:
			ok = g.command(s)
		}
	}
	return ok
}

func (g *grub) branch(branches []branch) bool {
	for _, b := range branches {
		if b.condition == nil || g.run(b.condition) {
			return g.run(b.then)
		}
	}
	return true
}

// loop runs a for. A while is passed over: its condition is about time or keys.
func (g *grub) loop(s statement) {
	words := g.expand(s.words)
	if len(words) < 2 || words[1] != "in" {
		return
	}
	for _, item := range words[2:] {
		g.set(words[0], item)
		g.run(s.block)
	}
}

func (g *grub) set(name, value string) {
	if g.held += len(value); g.held > maxVariables {
		g.fail(failure.Errorf(failure.Malformed, "GRUB script: variables of more than %d bytes", maxVariables))
		return
	}
	g.env[name] = value
}

func (g *grub) value(name string) string {
	if strings.HasPrefix(name, "feature_") {
		return "y"
	}
	return g.env[name]
}

// expand turns words into arguments. A variable outside of quotes may become none
// or several.
func (g *grub) expand(words []word) []string {
	var arguments []string
	size := 0
	for _, w := range words {
		var text strings.Builder
		present := false
		for _, s := range w {
			value := s.text
			if s.variable {
				value = g.value(s.text)
			}
			if s.variable && !s.quoted && len(w) == 1 {
				arguments = append(arguments, strings.Fields(value)...)
				continue
			}
			present = present || s.quoted || !s.variable || value != ""
			text.WriteString(value)
		}
		if present {
			arguments = append(arguments, text.String())
		}
		if size += text.Len(); size > maxVariables {
			g.fail(failure.Errorf(failure.Malformed, "GRUB script: a command of more than %d bytes", maxVariables))
			return nil
		}
	}
	return arguments
}

func (g *grub) call(body []statement) bool {
	if g.calls++; g.calls > maxCalls {
		g.fail(failure.Errorf(failure.Malformed, "GRUB script: functions within functions"))
		return false
	}
	defer func() { g.calls-- }()
	return g.run(body)
}
