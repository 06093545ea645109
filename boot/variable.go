package boot

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"unicode/utf16"

	"github.com/google/go-eventlog/tcg"

	"funlab.casa/attestation_exporter/failure"
	"funlab.casa/attestation_exporter/tpm"
)

// Where the kernel shows EFI variables, and whose they are: the firmware's own
// (UEFI Specification, section 3.3), and those of the Boot Loader Interface.
const (
	efivars    = "/sys/firmware/efi/efivars/"
	globalGUID = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
	loaderGUID = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
)

// maxVariable bounds one variable; the largest, dbx, has some 20 KiB.
const maxVariable = 1 << 20

// variable returns an EFI variable's data. efivarfs puts four bytes of attributes
// in front of it.
func (h host) variable(name, guid string) ([]byte, error) {
	content, err := h.read(efivars+name+"-"+guid, maxVariable)
	if err != nil {
		return nil, err
	}
	if len(content) < 4 {
		return nil, failure.Errorf(failure.Malformed, "EFI variable %s has %d bytes", name, len(content))
	}
	return content[4:], nil
}

// secureBootVariable reads what the firmware says about itself now. It is false,
// false on a host that wasn't started by EFI.
func (h host) secureBootVariable() (enabled, known bool, err error) {
	data, err := h.variable("SecureBoot", globalGUID)
	if errors.Is(err, fs.ErrNotExist) {
		return false, false, nil
	}
	if err != nil {
		return false, false, err
	}
	return len(data) == 1 && data[0] == 1, len(data) == 1, nil
}

// A measuredVariable is a variable that the firmware measured into PCR 7, with
// what it held then.
type measuredVariable struct {
	name, guid string
	data       []byte
}

// measuredVariables returns the variables of the Secure Boot policy that the log
// tells of (Platform Firmware Profile, section 3.3.4.8). An event whose data isn't
// what was measured proves nothing, and is left out.
func measuredVariables(log tpm.Log) []measuredVariable {
	var variables []measuredVariable
	for _, event := range log.Events {
		if event.Type != tpm.EventVariableConfig || event.PCR != secureBootPCR || !event.Describes(event.Data) {
			continue
		}
		parsed, err := tcg.ParseUEFIVariableData(bytes.NewReader(event.Data))
		if err != nil {
			continue
		}
		variables = append(variables, measuredVariable{parsed.VarName(), guidOf(event.Data[:16]), parsed.VariableData})
	}
	return variables
}

// changedVariables compares what was measured with what the variables hold now. A
// variable that isn't there is measured as an empty one.
func (h host) changedVariables(measured []measuredVariable) ([]File, error) {
	var (
		files []File
		errs  []error
	)
	for _, variable := range measured {
		if !plainName(variable.name) {
			continue
		}
		now, err := h.variable(variable.name, variable.guid)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
			continue
		}
		files = append(files, File{
			Path:    efivars + variable.name + "-" + variable.guid,
			PCR:     secureBootPCR,
			Matches: bytes.Equal(now, variable.data),
		})
	}
	return files, errors.Join(errs...)
}

// plainName tells whether a variable's name, which the log supplies, can be part
// of a path.
func plainName(name string) bool {
	return name != "" && !slices.ContainsFunc([]rune(name), func(r rune) bool { return r <= ' ' || r > '~' || r == '/' })
}

// guidOf writes an EFI_GUID as efivarfs and udev do: the first three fields are
// little endian (UEFI Specification, appendix A).
func guidOf(raw []byte) string {
	return fmt.Sprintf("%08x-%04x-%04x-%x-%x", binary.LittleEndian.Uint32(raw), binary.LittleEndian.Uint16(raw[4:]),
		binary.LittleEndian.Uint16(raw[6:]), raw[8:10], raw[10:16])
}

// A loadOption is a Boot#### variable (UEFI Specification, section 3.1.3).
type loadOption struct {
	active    bool
	partition string // GUID of the GPT partition, empty where the path names none
	file      string // path on the partition, with slashes; empty for the removable-media path
	local     bool   // a disk, and not a network or a part of the firmware
	options   []byte
}

// The parts of a load option and of its device path (section 10.3).
const (
	loadOptionActive   = 1
	loadOptionCategory = 0x1f00 // anything but 0 isn't part of the boot order

	hardwareDevice  = 1
	acpiDevice      = 2
	messagingDevice = 3
	mediaDevice     = 4
	hardDrive       = 1
	filePath        = 4
	endOfPath       = 0x7f
	gptSignature    = 2
)

func parseLoadOption(raw []byte) (loadOption, error) {
	malformed := failure.Errorf(failure.Malformed, "boot option is cut short")
	if len(raw) < 6 {
		return loadOption{}, malformed
	}
	attributes := binary.LittleEndian.Uint32(raw)
	option := loadOption{active: attributes&loadOptionActive != 0 && attributes&loadOptionCategory == 0}
	length := int(binary.LittleEndian.Uint16(raw[4:]))
	rest := raw[6:]
	for { // the description
		if len(rest) < 2 {
			return loadOption{}, malformed
		}
		unit := binary.LittleEndian.Uint16(rest)
		rest = rest[2:]
		if unit == 0 {
			break
		}
	}
	if len(rest) < length {
		return loadOption{}, malformed
	}
	option.options = rest[length:]
	return option, option.readPath(rest[:length])
}

// readPath walks the first device path of the list.
func (o *loadOption) readPath(path []byte) error {
	for len(path) >= 4 {
		kind, subtype, length := path[0], path[1], int(binary.LittleEndian.Uint16(path[2:]))
		if length < 4 || length > len(path) {
			return failure.Errorf(failure.Malformed, "device path is cut short")
		}
		data := path[4:length]
		path = path[length:]
		switch {
		case kind == endOfPath:
			return nil
		case kind == mediaDevice && subtype == hardDrive && len(data) >= 38 && data[37] == gptSignature:
			o.partition, o.local = guidOf(data[20:36]), true
		case kind == mediaDevice && subtype == filePath:
			o.file += slashes(utf16Text(data))
		case kind == messagingDevice:
			o.local = isDisk(subtype)
		case kind == hardwareDevice, kind == acpiDevice:
		default:
			o.local = false
		}
	}
	return nil
}

// isDisk tells whether a messaging device is one that holds partitions: ATAPI,
// SCSI, USB, SATA, NVMe, SD and eMMC, of those in section 10.3.4.
func isDisk(subtype byte) bool {
	return slices.Contains([]byte{1, 2, 5, 18, 23, 26, 29}, subtype)
}

// utf16Text decodes up to the first NUL.
func utf16Text(raw []byte) string {
	var units []uint16
	for ; len(raw) >= 2; raw = raw[2:] {
		unit := binary.LittleEndian.Uint16(raw)
		if unit == 0 {
			break
		}
		units = append(units, unit)
	}
	return string(utf16.Decode(units))
}

// slashes turns an EFI path into one of ours.
func slashes(path string) string {
	return string(bytes.ReplaceAll([]byte(path), []byte{'\\'}, []byte{'/'}))
}

// loadOptions returns the options that the firmware will try, in its order:
// BootNext once, then BootOrder.
func (h host) loadOptions() ([]loadOption, error) {
	var numbers []uint16
	if next, err := h.variable("BootNext", globalGUID); err == nil && len(next) == 2 {
		numbers = append(numbers, binary.LittleEndian.Uint16(next))
	}
	order, err := h.variable("BootOrder", globalGUID)
	if err != nil {
		return nil, fmt.Errorf("read the boot order: %w", err)
	}
	for ; len(order) >= 2; order = order[2:] {
		numbers = append(numbers, binary.LittleEndian.Uint16(order))
	}
	var options []loadOption
	for _, number := range numbers {
		raw, err := h.variable(fmt.Sprintf("Boot%04X", number), globalGUID)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		option, err := parseLoadOption(raw)
		if err != nil {
			return nil, fmt.Errorf("Boot%04X: %w", number, err)
		}
		if option.active {
			options = append(options, option)
		}
	}
	return options, nil
}
