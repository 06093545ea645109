package firmware

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf16"
)

// A Host is a folder that stands for a host's file system.
type Host struct{ Root string }

// Write puts a file into the host, with the folders above it.
func (h Host) Write(path string, content []byte) error {
	full := filepath.Join(h.Root, path)
	if err := os.MkdirAll(filepath.Dir(full), 0o750); err != nil {
		return err
	}
	return os.WriteFile(full, content, 0o600)
}

// Link makes a symbolic link, as udev and sysfs have them.
func (h Host) Link(path, target string) error {
	full := filepath.Join(h.Root, path)
	if err := os.MkdirAll(filepath.Dir(full), 0o750); err != nil {
		return err
	}
	return os.Symlink(target, full)
}

// Remove takes a file away.
func (h Host) Remove(path string) error { return os.Remove(filepath.Join(h.Root, path)) }

// The GUIDs by which efivarfs names the variables of the firmware and of the boot
// loader.
const (
	Firmware = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
	Loader   = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
)

// Variable sets an EFI variable, as efivarfs shows it.
func (h Host) Variable(name, guid string, content []byte) error {
	return h.Write("/sys/firmware/efi/efivars/"+name+"-"+guid, append([]byte{7, 0, 0, 0}, content...))
}

// UTF16 encodes a text with its end.
func UTF16(text string) []byte {
	var raw []byte
	for _, unit := range append(utf16.Encode([]rune(text)), 0) {
		raw = binary.LittleEndian.AppendUint16(raw, unit)
	}
	return raw
}

// LoadOption makes the content of a Boot#### variable that names a file on a GPT
// partition (UEFI Specification, sections 3.1.3 and 10.3.5).
func LoadOption(description, partition, file, options string) []byte {
	return loadOption(description, append(hardDrive(partition), filePath(file)...), options)
}

// DiskOption makes one that names a disk alone, as firmware writes it for the
// removable-media path.
func DiskOption(description string) []byte {
	return loadOption(description, node(3, 23, make([]byte, 12)), "") // NVMe
}

// NetworkOption makes one that boots from the network.
func NetworkOption(description string) []byte {
	return loadOption(description, node(3, 11, make([]byte, 33)), "") // MAC address
}

func loadOption(description string, path []byte, options string) []byte {
	path = append(path, node(0x7f, 0xff, nil)...)
	raw := binary.LittleEndian.AppendUint32(nil, 1) // LOAD_OPTION_ACTIVE
	raw = binary.LittleEndian.AppendUint16(raw, uint16(len(path)))
	raw = append(append(raw, UTF16(description)...), path...)
	if options != "" {
		raw = append(raw, UTF16(options)...)
	}
	return raw
}

func node(kind, subtype byte, data []byte) []byte {
	return append(binary.LittleEndian.AppendUint16([]byte{kind, subtype}, uint16(4+len(data))), data...)
}

func hardDrive(partition string) []byte {
	where := make([]byte, 20) // number, start and size, which nobody looks at
	kind := []byte{2, 2}      // GPT, signature is a GUID
	return node(4, 1, slices.Concat(where, efiGUID(partition), kind))
}

func filePath(file string) []byte {
	return node(4, 4, UTF16(strings.ReplaceAll(file, "/", `\`)))
}

// efiGUID writes a GUID as it lies in memory: its first three fields are little
// endian.
func efiGUID(text string) []byte {
	raw, err := hex.DecodeString(strings.ReplaceAll(text, "-", ""))
	if err != nil || len(raw) != 16 {
		return bytes.Repeat([]byte{0xff}, 16)
	}
	for _, field := range [][]byte{raw[0:4], raw[4:6], raw[6:8]} {
		for i, j := 0, len(field)-1; i < j; i, j = i+1, j-1 {
			field[i], field[j] = field[j], field[i]
		}
	}
	return raw
}
