package boot

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"

	"funlab.casa/attestation_exporter/failure"
)

// A chain is what the next boot will start, in its order.
type chain struct {
	loaders []string // paths in the host's tree
	kernel  string   // empty where the last loader is the end
	// optional tells that the loader may start the kernel in a way that isn't
	// measured as an application: GRUB's linux command, without Secure Boot.
	optional bool
}

// maxLoaders bounds a chain; shim and GRUB are two.
const maxLoaders = 4

// nextBoot follows the firmware's boot order up to a kernel.
func (h host) nextBoot() (chain, error) {
	start, options, err := h.firstApplication()
	if err != nil {
		return chain{}, err
	}
	var c chain
	for range maxLoaders {
		found, err := h.role(start)
		if err != nil {
			return chain{}, fmt.Errorf("%s: %w", start, err)
		}
		switch found {
		case roleShim:
			c.loaders = append(c.loaders, start)
			if start, err = h.afterShim(start, options); err != nil {
				return chain{}, err
			}
			options = nil
		case roleGRUB:
			c.loaders, c.optional = append(c.loaders, start), true
			c.kernel, err = h.afterGRUB(start)
			return c, err
		case roleSystemdBoot:
			c.loaders = append(c.loaders, start)
			c.kernel, err = h.afterSystemdBoot(start)
			return c, err
		case roleFinal:
			c.kernel = start
			return c, nil
		}
	}
	return chain{}, failure.Errorf(failure.Malformed, "more than %d boot loaders in a row", maxLoaders)
}

// errNoEntry says that no boot entry leads to a file that can be read.
var errNoEntry = errors.New("no boot entry leads to a file that can be read")

// firstApplication returns what the firmware will start. An entry whose partition
// or file is gone is passed over, as the firmware does.
func (h host) firstApplication() (start string, options []byte, err error) {
	candidates, err := h.loadOptions()
	if err != nil {
		return "", nil, err
	}
	for _, option := range candidates {
		if !option.local {
			return "", nil, errors.New("the first boot entry is a network or a part of the firmware")
		}
		found, err := h.applicationOf(option)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		return found, option.options, err
	}
	return "", nil, errNoEntry
}

func (h host) applicationOf(option loadOption) (string, error) {
	file := option.file
	if file == "" {
		file = "/EFI/BOOT/BOOT" + strings.ToUpper(architecture()) + ".EFI"
	}
	if option.partition == "" {
		return h.onlyESPWith(file)
	}
	device, err := h.partition("by-partuuid/" + option.partition)
	if err != nil {
		return "", err
	}
	found, err := h.locate(device, file)
	if err == nil {
		_, err = os.Stat(h.at(found))
	}
	return found, err
}

// onlyESPWith finds the file for an entry that names a disk and no partition. Two
// that have it would be a guess.
func (h host) onlyESPWith(file string) (string, error) {
	mounts, err := h.mounts()
	if err != nil {
		return "", err
	}
	found := map[string]string{}
	for _, m := range mounts {
		if candidate := filepath.Join(m.point, file); m.kind == "vfat" && h.isFile(candidate) {
			found[m.device] = candidate
		}
	}
	for _, candidate := range found {
		if len(found) == 1 {
			return candidate, nil
		}
	}
	return "", fmt.Errorf("find %s: %w", file, errNotMounted)
}

// architecture is the suffix by which EFI names this machine (UEFI Specification,
// section 3.5.1.1).
func architecture() string {
	switch runtime.GOARCH {
	case "arm64":
		return "aa64"
	case "386":
		return "ia32"
	case "riscv64":
		return "riscv64"
	}
	return "x64"
}

// afterShim returns what shim starts: the file in its load options, else GRUB
// beside it. As the removable-media application shim hands over to fallback, which
// writes boot entries and starts again.
func (h host) afterShim(shim string, options []byte) (string, error) {
	directory := filepath.Dir(shim)
	if strings.HasPrefix(strings.ToUpper(filepath.Base(shim)), "BOOT") && h.isFile(filepath.Join(directory, "fb"+architecture()+".efi")) {
		return "", errors.New("shim will start fallback, which writes boot entries anew")
	}
	second := slashes(utf16Text(options))
	if strings.HasSuffix(strings.ToLower(second), ".efi") && !strings.ContainsAny(second, " \t") {
		if strings.HasPrefix(second, "/") {
			return h.besideOf(shim, second)
		}
		return filepath.Join(directory, second), nil
	}
	return filepath.Join(directory, "grub"+architecture()+".efi"), nil
}

// mountOf returns the mount that a path of the host's tree lies in.
func (h host) mountOf(file string) (mount, error) {
	mounts, err := h.mounts()
	if err != nil {
		return mount{}, err
	}
	var best mount
	for _, m := range mounts {
		inside := m.point == "/" || strings.HasPrefix(file, m.point+"/")
		if inside && len(m.point) >= len(best.point) {
			best = m
		}
	}
	if best.point == "" {
		return mount{}, fmt.Errorf("%s: %w", file, errNotMounted)
	}
	return best, nil
}

// besideOf returns a path on the file system that another file is on.
func (h host) besideOf(file, rooted string) (string, error) {
	m, err := h.mountOf(file)
	return filepath.Join(m.point, rooted), err
}

// afterGRUB runs GRUB's configuration.
func (h host) afterGRUB(loader string) (string, error) {
	start, err := h.mountOf(loader)
	if err != nil {
		return "", err
	}
	v := grubVolumes{host: h, start: start.device}
	config, err := v.config(loader, start)
	if err != nil {
		return "", err
	}
	kernel, err := grubKernel(v, config)
	if err != nil {
		return "", err
	}
	return v.path(kernel)
}

// grubVolumes reads what GRUB reads from where the host has it mounted.
type grubVolumes struct {
	host  host
	start string // the device that GRUB was started from
}

// config finds GRUB's first configuration. Distributions build the folder of it
// into the signed image, mostly the image's own; an image that grub-install made
// here has the one in /boot built in.
func (v grubVolumes) config(loader string, start mount) (place, error) {
	relative, err := filepath.Rel(start.point, filepath.Dir(loader))
	if err != nil {
		return place{}, err
	}
	own := path.Join("/", relative, "grub.cfg")
	candidates := []string{own}
	if folders, err := filepath.Glob(v.host.at(filepath.Join(start.point, "EFI/*/grub.cfg"))); err == nil && len(folders) == 1 {
		candidates = append(candidates, path.Join("/EFI", filepath.Base(filepath.Dir(folders[0])), "grub.cfg"))
	}
	for _, candidate := range candidates {
		if v.exists(place{startDevice, candidate}) {
			return place{startDevice, candidate}, nil
		}
	}
	for _, candidate := range []string{"/boot/grub/grub.cfg", "/boot/grub2/grub.cfg"} {
		if !v.host.isFile(candidate) {
			continue
		}
		m, err := v.host.mountOf(candidate)
		if err != nil {
			return place{}, err
		}
		relative, err := filepath.Rel(m.point, candidate)
		return place{"device/" + m.device, path.Join(m.root, relative)}, err
	}
	return place{}, fmt.Errorf("find GRUB's configuration: %w", fs.ErrNotExist)
}

// path returns where the host has a file.
func (v grubVolumes) path(at place) (string, error) {
	device := v.start
	switch {
	case at.device == startDevice:
	case strings.HasPrefix(at.device, "device/"):
		device = strings.TrimPrefix(at.device, "device/")
	case strings.HasPrefix(at.device, "by-"):
		var err error
		if device, err = v.host.partition(at.device); err != nil {
			return "", fmt.Errorf("find the file system that GRUB searches for: %w", err)
		}
	default:
		return "", fmt.Errorf("GRUB's device %q isn't found by UUID or label", at.device)
	}
	return v.host.locate(device, at.path)
}

func (v grubVolumes) read(at place) ([]byte, error) {
	found, err := v.path(at)
	if err != nil {
		return nil, err
	}
	return v.host.read(found, maxScript)
}

func (v grubVolumes) exists(at place) bool {
	found, err := v.path(at)
	return err == nil && v.host.isFile(found)
}

func (v grubVolumes) entries(directory place) ([]loaderEntry, error) {
	found, err := v.path(directory)
	if err != nil {
		return nil, err
	}
	return v.host.entries(found)
}

// afterSystemdBoot finds the default entry on the partition of the loader and on
// the extended boot loader partition, which is mounted on /boot beside it.
func (h host) afterSystemdBoot(loader string) (string, error) {
	start, err := h.mountOf(loader)
	if err != nil {
		return "", err
	}
	var all []loaderEntry
	origin := map[string]string{}
	for _, point := range []string{start.point, "/boot"} {
		if point == "/boot" && start.point == "/boot" {
			continue
		}
		entries, err := h.entries(filepath.Join(point, "loader/entries"))
		if err != nil {
			return "", err
		}
		unified, err := h.unifiedImages(point)
		if err != nil {
			return "", err
		}
		for _, entry := range append(entries, unified...) {
			origin[entry.file] = point
			all = append(all, entry)
		}
	}
	entry, ok := chooseEntry(all, h.loaderVariable("LoaderEntryOneShot"), h.loaderVariable("LoaderEntryDefault"), h.loaderDefault(start.point))
	if !ok {
		return "", errors.New("systemd-boot has no entry")
	}
	return filepath.Join(origin[entry.file], slashes(entry.image())), nil
}

// loaderVariable returns a text of the Boot Loader Interface, if it is set.
func (h host) loaderVariable(name string) string {
	data, err := h.variable(name, loaderGUID)
	if err != nil {
		return ""
	}
	return utf16Text(data)
}

// loaderDefault returns the default of loader.conf(5). "@saved" names the entry
// that was started last.
func (h host) loaderDefault(point string) string {
	text, err := h.read(filepath.Join(point, "loader/loader.conf"), maxEntry)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) == 2 && fields[0] == "default" {
			if fields[1] == "@saved" {
				return h.loaderVariable("LoaderEntryLastBooted")
			}
			return fields[1]
		}
	}
	return ""
}
