package boot

import (
	"path"
	"slices"
	"strings"
)

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
