package boot

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"funlab.casa/attestation_exporter/failure"
)

// A menuEntry is one that GRUB would show.
type menuEntry struct {
	title, id string
	submenu   bool
	block     []statement
	kernel    place // of an entry that isn't a block
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
