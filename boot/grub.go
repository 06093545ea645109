package boot

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
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

type menuEntry struct {
	title, id string
	submenu   bool
	block     []statement
	kernel    place // of an entry that isn't a block
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

// command runs one command.
func (g *grub) command(s statement) bool {
	arguments := g.expand(s.words)
	if len(arguments) == 0 {
		return true
	}
	name, arguments := arguments[0], arguments[1:]
	if body, ok := g.functions[name]; ok {
		return g.call(body)
	}
	switch name {
	case "[", "test":
		return g.test(arguments)
	case "false", "keystatus", "cmostest", "loadfont":
		return false
	case "function":
		if len(arguments) > 0 {
			g.functions[arguments[0]] = s.block
		}
	case "menuentry", "submenu":
		g.menu = append(g.menu, newMenuEntry(arguments, name == "submenu", s.block))
	case "blscfg":
		return g.addLoaderEntries()
	default:
		g.simple(name, arguments)
	}
	return true
}

// simple runs a command whose success nobody asks for.
func (g *grub) simple(name string, arguments []string) {
	if command, field, found := strings.Cut(name, "."); found && command == "search" {
		g.search(append([]string{"--" + strings.ReplaceAll(field, "_", "-")}, arguments...))
		return
	}
	if variable, value, ok := strings.Cut(name, "="); ok {
		g.set(variable, value)
		return
	}
	if name == "load_env" {
		g.loadEnv(arguments)
		return
	}
	if len(arguments) == 0 {
		return
	}
	switch name {
	case "set":
		if variable, value, ok := strings.Cut(arguments[0], "="); ok {
			g.set(variable, value)
		}
	case "unset":
		delete(g.env, arguments[0])
	case "export":
		g.exported[arguments[0]] = true
	case "search":
		g.search(arguments)
	case "configfile":
		g.configfile(g.place(arguments[0]))
	case "source", ".":
		g.source(g.place(arguments[0]))
	case "linux", "linuxefi", "linux16", "chainloader":
		g.kernel = g.place(arguments[len(arguments)-1])
		if name != "chainloader" {
			g.kernel = g.place(arguments[0])
		}
	}
}

func (g *grub) call(body []statement) bool {
	if g.calls++; g.calls > maxCalls {
		g.fail(failure.Errorf(failure.Malformed, "GRUB script: functions within functions"))
		return false
	}
	defer func() { g.calls-- }()
	return g.run(body)
}

// place resolves a path, "(device)/path" or relative to the root device.
func (g *grub) place(name string) place {
	if device, rest, ok := strings.Cut(name, ")"); ok && strings.HasPrefix(device, "(") {
		return place{device[1:], path.Clean("/" + rest)}
	}
	return place{g.env["root"], path.Clean("/" + name)}
}

// search sets a variable to a device that is named by what it holds. A device that
// is found by a file, or not at all, leaves the variable as it was.
func (g *grub) search(arguments []string) {
	variable, kind, operands := "", "", []string{}
	for i, argument := range arguments {
		switch {
		case argument == "--fs-uuid", argument == "-u":
			kind = "by-uuid/"
		case argument == "--label", argument == "-l", argument == "--fs-label":
			kind = "by-label/"
		case argument == "--set" || argument == "-s":
			variable = "root"
			if i+1 < len(arguments) && i+2 < len(arguments) && !strings.HasPrefix(arguments[i+1], "-") {
				variable = arguments[i+1]
			}
		case strings.HasPrefix(argument, "--set="):
			variable = strings.TrimPrefix(argument, "--set=")
		case !strings.HasPrefix(argument, "-"):
			operands = append(operands, argument)
		}
	}
	if kind == "" || len(operands) == 0 {
		return
	}
	name := operands[len(operands)-1]
	if variable == "" && len(operands) > 1 { // search.fs_uuid UUID variable hints
		name, variable = operands[0], operands[1]
	}
	if variable != "" {
		g.set(variable, kind+strings.ReplaceAll(name, "/", ""))
	}
}

// loadEnv reads an environment block (GRUB Manual, "The GRUB environment block").
func (g *grub) loadEnv(arguments []string) {
	file := g.env["prefix"] + "/grubenv"
	var only []string
	for i := 0; i < len(arguments); i++ {
		switch {
		case (arguments[i] == "--file" || arguments[i] == "-f") && i+1 < len(arguments):
			i++
			file = arguments[i]
		case !strings.HasPrefix(arguments[i], "-"):
			only = append(only, arguments[i])
		}
	}
	text, err := g.volumes.read(g.place(file))
	if err != nil {
		return // as GRUB does: without the file, no variable is set
	}
	for line := range strings.Lines(string(text)) {
		name, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		if ok && !strings.HasPrefix(line, "#") && (only == nil || slices.Contains(only, name)) {
			g.set(name, value)
		}
	}
}

func newMenuEntry(arguments []string, submenu bool, block []statement) menuEntry {
	entry := menuEntry{submenu: submenu, block: block}
	titled := false
	for i := 0; i < len(arguments); i++ {
		switch argument := arguments[i]; {
		case slices.Contains([]string{"--id", "--class", "--users", "--hotkey", "--source"}, argument):
			if i++; argument == "--id" && i < len(arguments) {
				entry.id = arguments[i]
			}
		case strings.HasPrefix(argument, "--id="):
			entry.id = strings.TrimPrefix(argument, "--id=")
		case strings.HasPrefix(argument, "--"):
		case !titled:
			entry.title, titled = argument, true
		}
	}
	return entry
}

// addLoaderEntries adds the menu entries of the Boot Loader Specification, as the
// blscfg command of Fedora, RHEL and their kin does: the newest version first, and
// each by its file's name.
func (g *grub) addLoaderEntries() bool {
	root := g.env["root"]
	for _, directory := range []string{"/loader/entries", "/boot/loader/entries"} {
		entries, err := g.volumes.entries(place{root, directory})
		if err != nil {
			g.fail(err)
			return false
		}
		slices.SortStableFunc(entries, func(a, b loaderEntry) int { return compareVersions(b.id(), a.id()) })
		for _, entry := range entries {
			g.menu = append(g.menu, menuEntry{title: entry.title, id: entry.id(), kernel: place{root, path.Clean("/" + entry.image())}})
		}
		if len(entries) > 0 {
			return true
		}
	}
	return false
}

// choose starts an entry of the menu by number, id or title, with those of
// submenus behind a ">". Where there is no such entry GRUB takes the first.
func (g *grub) choose(selector string) {
	if g.err != nil {
		return
	}
	if len(g.menu) == 0 {
		return
	}
	first, rest, _ := strings.Cut(selector, ">")
	entry := g.menu[0]
	if number, err := strconv.Atoi(first); err == nil && number >= 0 && number < len(g.menu) {
		entry = g.menu[number]
	} else if i := slices.IndexFunc(g.menu, func(e menuEntry) bool { return first != "" && (e.id == first || e.title == first) }); i >= 0 {
		entry = g.menu[i]
	}
	g.finished = false
	if (entry.kernel != place{}) {
		g.kernel = entry.kernel
		return
	}
	if entry.submenu {
		if g.calls++; g.calls > maxCalls {
			g.fail(failure.Errorf(failure.Malformed, "GRUB script: menus within menus"))
			return
		}
		g.menu = nil
		g.run(entry.block)
		g.choose(rest)
		return
	}
	g.run(entry.block)
}
