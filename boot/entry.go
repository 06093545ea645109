package boot

import (
	"cmp"
	"errors"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// maxEntry bounds one entry's file.
const maxEntry = 64 << 10

// A loaderEntry is a menu entry of the Boot Loader Specification (UAPI.1): a file
// of type 1, or a unified kernel image, type 2.
type loaderEntry struct {
	file    string // its name in the folder
	title   string
	version string
	machine string
	sortKey string
	linux   string // paths on the partition
	efi     string
}

// parseEntry reads a file of type 1.
func parseEntry(file, text string) loaderEntry {
	entry := loaderEntry{file: file}
	fields := map[string]*string{
		"title": &entry.title, "version": &entry.version, "machine-id": &entry.machine,
		"sort-key": &entry.sortKey, "linux": &entry.linux, "efi": &entry.efi,
	}
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(strings.ReplaceAll(line, "\t", " ")), " ")
		if field := fields[key]; field != nil {
			*field = strings.TrimSpace(value)
		}
	}
	return entry
}

// image returns what the entry starts.
func (e loaderEntry) image() string { return cmp.Or(e.linux, e.efi) }

// id names the entry without its suffix and without the counters of boot
// assessment (UAPI.1, "Boot counting").
func (e loaderEntry) id() string {
	name := strings.TrimSuffix(strings.TrimSuffix(e.file, ".conf"), ".efi")
	if plus := strings.LastIndex(name, "+"); plus > 0 {
		if left, _, _ := strings.Cut(name[plus+1:], "-"); isNumber(left) {
			return name[:plus]
		}
	}
	return name
}

// exhausted tells whether all tries of an entry under assessment have failed.
func (e loaderEntry) exhausted() bool {
	name := strings.TrimSuffix(strings.TrimSuffix(e.file, ".conf"), ".efi")
	plus := strings.LastIndex(name, "+")
	if plus <= 0 {
		return false
	}
	left, _, _ := strings.Cut(name[plus+1:], "-")
	number, err := strconv.Atoi(left)
	return err == nil && number == 0
}

func isNumber(text string) bool {
	_, err := strconv.ParseUint(text, 10, 32)
	return err == nil
}

// entries reads the entries of type 1 in a folder.
func (h host) entries(directory string) ([]loaderEntry, error) {
	names, err := h.list(directory, ".conf")
	if err != nil {
		return nil, err
	}
	var entries []loaderEntry
	for _, name := range names {
		text, err := h.read(filepath.Join(directory, name), maxEntry)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if entry := parseEntry(name, string(text)); entry.image() != "" {
			entries = append(entries, entry)
		}
	}
	return entries, nil
}

// unifiedImages reads the entries of type 2 on a partition. Their names come from
// the os-release that is built into them.
func (h host) unifiedImages(point string) ([]loaderEntry, error) {
	const directory = "/EFI/Linux"
	names, err := h.list(filepath.Join(point, directory), ".efi")
	if err != nil {
		return nil, err
	}
	var entries []loaderEntry
	for _, name := range names {
		file, info, err := h.open(filepath.Join(point, directory, name))
		if err != nil {
			return nil, err
		}
		entry := loaderEntry{file: name, efi: path.Join(directory, name)}
		if parsed, err := parseImage(file, info.Size()); err == nil && info.Size() <= maxImage {
			release := osRelease(string(sectionText(parsed, ".osrel")))
			entry.sortKey = cmp.Or(release["IMAGE_ID"], release["ID"])
			entry.version = cmp.Or(release["IMAGE_VERSION"], release["VERSION"], release["VERSION_ID"], release["BUILD_ID"])
			entry.title = release["PRETTY_NAME"]
		}
		if err := file.Close(); err != nil {
			return nil, err
		}
		entries = append(entries, entry)
	}
	return entries, nil
}

// osRelease reads os-release(5), but for escapes.
func osRelease(text string) map[string]string {
	fields := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			fields[name] = strings.Trim(value, `"'`)
		}
	}
	return fields
}

// compareEntries orders entries as systemd-boot lists them (UAPI.1, "Sorting").
func compareEntries(a, b loaderEntry) int {
	if order := compareFlags(a.exhausted(), b.exhausted()); order != 0 {
		return order
	}
	if order := compareFlags(a.sortKey == "", b.sortKey == ""); order != 0 {
		return order
	}
	if a.sortKey != "" {
		if order := cmp.Or(
			strings.Compare(a.sortKey, b.sortKey),
			strings.Compare(a.machine, b.machine),
			compareVersions(b.version, a.version),
		); order != 0 {
			return order
		}
	}
	return compareVersions(b.id(), a.id())
}

// compareFlags puts those without the flag first.
func compareFlags(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// chooseEntry returns the entry that systemd-boot starts: the first wish that an
// entry answers to, else the first of the list. A wish is the name of an entry or
// a pattern of names, in any case (loader.conf(5), "default").
func chooseEntry(entries []loaderEntry, wishes ...string) (loaderEntry, bool) {
	if len(entries) == 0 {
		return loaderEntry{}, false
	}
	sorted := slices.SortedStableFunc(slices.Values(entries), compareEntries)
	for _, wish := range wishes {
		wish = strings.ToLower(wish)
		if wish == "" {
			continue
		}
		for _, entry := range sorted {
			for _, name := range []string{entry.file, entry.id(), entry.id() + path.Ext(entry.file)} {
				if matched, err := path.Match(wish, strings.ToLower(name)); err == nil && matched {
					return entry, true
				}
			}
		}
	}
	return sorted[0], true
}
