package luks

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// maxStack bounds how many device-mapper layers are followed from an open device
// down to its header.
const maxStack = 8

// openDevices finds what the open dm-crypt devices lie on, as sysfs shows it. The
// device mapper's uuid tells the format: "CRYPT-LUKS2-…" as cryptsetup names it.
func openDevices(sysfs string) ([]Device, error) {
	names, err := filepath.Glob(filepath.Join(sysfs, "dm-*"))
	if err != nil {
		return nil, err
	}
	var (
		devices []Device
		errs    []error
		seen    = map[string]bool{}
	)
	for _, name := range names {
		format, ok := formatOf(dmAttribute(name, "uuid"))
		if !ok {
			continue
		}
		path := "/dev/mapper/" + dmAttribute(name, "name")
		if format != Plain {
			if path, err = lowerDevice(sysfs, filepath.Base(name)); err != nil {
				errs = append(errs, err)
				continue
			}
		}
		if !seen[path] {
			seen[path] = true
			devices = append(devices, Device{Path: path, Format: format})
		}
	}
	if len(devices) == 0 && len(errs) == 0 {
		return nil, ErrAbsent
	}
	return devices, errors.Join(errs...)
}

func formatOf(uuid string) (Format, bool) {
	for prefix, format := range map[string]Format{
		"CRYPT-LUKS2-": LUKS2,
		"CRYPT-LUKS1-": LUKS1,
		"CRYPT-PLAIN-": Plain,
	} {
		if strings.HasPrefix(uuid, prefix) {
			return format, true
		}
	}
	return Unknown, false
}

// lowerDevice returns the device with the header: what the dm-crypt device lies
// on, below the layers that cryptsetup itself puts between (CRYPT-SUBDEV, for
// authenticated encryption).
func lowerDevice(sysfs, name string) (string, error) {
	for range maxStack {
		slaves, err := os.ReadDir(filepath.Join(sysfs, name, "slaves"))
		if err != nil {
			return "", fmt.Errorf("find what %s lies on: %w", name, err)
		}
		if len(slaves) != 1 {
			return "", fmt.Errorf("find what %s lies on: %d devices: %w", name, len(slaves), fs.ErrNotExist)
		}
		name = slaves[0].Name()
		directory := filepath.Join(sysfs, name)
		if strings.HasPrefix(dmAttribute(directory, "uuid"), "CRYPT-SUBDEV-") {
			continue
		}
		if mapped := dmAttribute(directory, "name"); mapped != "" {
			return "/dev/mapper/" + mapped, nil
		}
		return "/dev/" + strings.ReplaceAll(name, "!", "/"), nil // sysfs writes / as !
	}
	return "", fmt.Errorf("find what %s lies on: more than %d layers", name, maxStack)
}

// dmAttribute reads one line of the device mapper's folder. It is empty for a
// device that isn't mapped, or is gone.
func dmAttribute(directory, attribute string) string {
	file, err := os.Open(filepath.Join(directory, "dm", attribute))
	if err != nil {
		return ""
	}
	defer file.Close() //nolint:errcheck // nothing was written
	line, err := io.ReadAll(io.LimitReader(file, 256))
	if err != nil {
		return ""
	}
	return string(bytes.TrimSpace(line))
}
