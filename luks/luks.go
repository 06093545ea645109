// Package luks reads LUKS2 headers and says whether the TPM bindings in them fit
// what a boot was measured to.
//
// It unseals nothing, needs no passphrase and writes nowhere. A policy that fits
// is no proof that the disk will open: another TPM, or one that was cleared, can't
// load the sealed object at all, and this package doesn't try. Key material,
// wrapped keys and ciphertexts stay in the header: nothing of them is in a Reading.
package luks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"funlab.casa/attestation_exporter/failure"
	"funlab.casa/attestation_exporter/tpm"
)

// ErrAbsent says that no encrypted device is open on this host, and that nobody
// named one.
var ErrAbsent = errors.New("no encrypted device")

// A Source reads the headers of a host's encrypted devices.
type Source struct {
	// Devices are block devices or header files. If there are none, they are found
	// among the open dm-crypt devices.
	Devices []string
	// Sysfs is where the kernel shows block devices. Empty means /sys/class/block.
	Sysfs string
	// Measured returns the values of the PCRs in the selection.
	Measured func(ctx context.Context, selection tpm.Selection) (tpm.Measured, error)
}

// A Reading is what the headers say, in the order of the devices.
type Reading struct {
	Devices []Device
}

// A Device is one encrypted device.
type Device struct {
	Path   string
	Format Format
	// Readable is false where the header could not be read, or is none.
	Readable bool
	Bindings []Binding
	Keyslots Keyslots
}

// Keyslots counts the ways into a device.
type Keyslots struct {
	TPM   int // can't be had without a TPM
	Other int // passphrases, recovery keys, networks: the way back in when the TPM refuses
}

// Read reads each header and judges its bindings. The Reading has a device also
// where its header could not be read.
func (s Source) Read(ctx context.Context) (Reading, error) {
	devices, err := s.devices()
	var (
		reading Reading
		errs    = []error{err}
		holders = make([][]keyholder, len(devices))
		wanted  tpm.Selection
	)
	for i, device := range devices {
		var holding []keyholder
		if device.Format != Plain {
			device, holding, err = inspect(device)
			errs = append(errs, err)
		}
		reading.Devices = append(reading.Devices, device)
		holders[i] = holding
		wanted = wanted.Union(selection(holding))
	}
	var values tpm.Measured
	if len(wanted.Banks()) > 0 {
		values, err = s.Measured(ctx, wanted)
		errs = append(errs, err)
	}
	for i, holding := range holders {
		for _, holder := range holding {
			reading.Devices[i].Bindings = append(reading.Devices[i].Bindings, bind(holder, values))
		}
	}
	return reading, errors.Join(errs...)
}

// devices lists what is to be read.
func (s Source) devices() ([]Device, error) {
	if len(s.Devices) == 0 {
		return openDevices(s.sysfs())
	}
	var devices []Device
	for _, path := range s.Devices {
		devices = append(devices, Device{Path: path, Format: Unknown})
	}
	return devices, nil
}

func (s Source) sysfs() string { return cmp.Or(s.Sysfs, "/sys/class/block") }

// inspect reads one header.
func inspect(device Device) (Device, []keyholder, error) {
	format, text, err := readDevice(device.Path)
	if err != nil {
		return device, nil, fmt.Errorf("%s: %w", device.Path, err)
	}
	device.Format = format
	if format == LUKS1 {
		device.Readable = true
		return device, nil, nil
	}
	m, err := parseMetadata(text)
	if err != nil {
		return device, nil, fmt.Errorf("%s: %w", device.Path, err)
	}
	device.Readable = true
	holders := m.keyholders()
	device.Keyslots = m.keyslots(holders)
	return device, m.binding(holders), nil
}

// readDevice opens a block device or a regular file. Anything else might never
// answer. The open doesn't wait, so that a FIFO put in a file's place is noticed
// and not waited for.
func readDevice(path string) (Format, []byte, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return Unknown, nil, err
	}
	defer file.Close() //nolint:errcheck // nothing was written
	info, err := file.Stat()
	if err != nil {
		return Unknown, nil, err
	}
	block := info.Mode()&os.ModeDevice != 0 && info.Mode()&os.ModeCharDevice == 0
	if !info.Mode().IsRegular() && !block {
		return Unknown, nil, failure.Errorf(failure.Malformed, "neither a block device nor a file")
	}
	return readHeader(io.ReaderAt(file))
}
