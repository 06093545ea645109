package boot

import (
	"bytes"
	"cmp"
	"crypto"
	"debug/pe"
	"encoding/binary"
	"io"
	"slices"

	"funlab.casa/attestation_exporter/failure"
)

// A role is what an EFI application does in the chain.
type role string

const (
	roleShim        role = "shim"
	roleGRUB        role = "grub"
	roleSystemdBoot role = "systemd-boot"
	roleFinal       role = "final" // a kernel, a unified kernel image, or something that isn't known here
)

// maxImage bounds an EFI application; a unified kernel image has some 100 MiB.
const maxImage = 1 << 30

// A layout is where in a PE file its Authenticode digest leaves something out, and
// in which order it takes the rest.
type layout struct {
	headers     int64 // SizeOfHeaders
	checksum    int64 // offset of CheckSum, 4 bytes
	directory   int64 // offset of the entry of the certificate table, 8 bytes
	certificate int64 // size of the certificate table, at the end of the file
	sections    []extent
}

type extent struct{ start, size int64 }

// Offsets in the optional header (Microsoft PE Format, "Optional Header").
const (
	peOffset           = 0x3c
	checksumInOptional = 64
	directoryPE32      = 96
	directoryPE32Plus  = 112
	certificateTable   = 4
)

func errImage(what string) error {
	return failure.Errorf(failure.Malformed, "EFI application: %s", what)
}

// authenticode returns the digest by which firmware knows an application, which
// doesn't change when the application is signed (Windows Authenticode Portable
// Executable Signature Format, "Calculating the PE Image Hash").
func authenticode(file io.ReaderAt, size int64, algorithm crypto.Hash) ([]byte, error) {
	if size > maxImage {
		return nil, errImage("too large")
	}
	l, err := readLayout(file, size)
	if err != nil {
		return nil, err
	}
	hash := algorithm.New()
	copyRange := func(start, end int64) {
		if err == nil && end > start {
			_, err = io.Copy(hash, io.NewSectionReader(file, start, end-start))
		}
	}
	copyRange(0, l.checksum)
	copyRange(l.checksum+4, l.directory)
	copyRange(l.directory+8, l.headers)
	hashed := l.headers
	for _, section := range l.sections {
		copyRange(section.start, section.start+section.size)
		hashed += section.size
	}
	copyRange(hashed, size-l.certificate)
	if err != nil {
		return nil, err
	}
	return hash.Sum(nil), nil
}

// readLayout checks that all that it returns lies within the file.
func readLayout(file io.ReaderAt, size int64) (layout, error) {
	parsed, err := parseImage(file, size)
	if err != nil {
		return layout{}, err
	}
	var at [4]byte
	if _, err := file.ReadAt(at[:], peOffset); err != nil {
		return layout{}, err
	}
	optional := int64(binary.LittleEndian.Uint32(at[:])) + 4 + int64(binary.Size(pe.FileHeader{}))
	l := layout{checksum: optional + checksumInOptional}
	var directories []pe.DataDirectory
	switch header := parsed.OptionalHeader.(type) {
	case *pe.OptionalHeader32:
		l.headers, l.directory = int64(header.SizeOfHeaders), optional+directoryPE32
		directories = header.DataDirectory[:min(header.NumberOfRvaAndSizes, uint32(len(header.DataDirectory)))]
	case *pe.OptionalHeader64:
		l.headers, l.directory = int64(header.SizeOfHeaders), optional+directoryPE32Plus
		directories = header.DataDirectory[:min(header.NumberOfRvaAndSizes, uint32(len(header.DataDirectory)))]
	default:
		return layout{}, errImage("no optional header")
	}
	if len(directories) <= certificateTable {
		return layout{}, errImage("no entry for a certificate table")
	}
	l.directory += certificateTable * 8
	l.certificate = int64(directories[certificateTable].Size)
	total := l.headers
	for _, section := range parsed.Sections {
		part := extent{int64(section.Offset), int64(section.Size)}
		if part.size == 0 {
			continue
		}
		if part.start+part.size > size {
			return layout{}, errImage("a section ends behind the file")
		}
		total += part.size
		l.sections = append(l.sections, part)
	}
	slices.SortStableFunc(l.sections, func(a, b extent) int { return cmp.Compare(a.start, b.start) })
	if l.directory+8 > l.headers || l.headers > size || total > size || l.certificate > size-total {
		return layout{}, errImage("its parts don't fit into the file")
	}
	return l, nil
}

// parseImage reads the headers.
func parseImage(file io.ReaderAt, size int64) (*pe.File, error) {
	parsed, err := pe.NewFile(io.NewSectionReader(file, 0, size))
	if err != nil {
		return nil, failure.Errorf(failure.Malformed, "parse EFI application: %w", err)
	}
	return parsed, nil
}

// maxSection bounds the sections that are read, all of them short texts.
const maxSection = 64 << 10

// sectionText returns a short section of an application, or nothing.
func sectionText(parsed *pe.File, name string) []byte {
	section := parsed.Section(name)
	if section == nil || section.Size > maxSection {
		return nil
	}
	text, err := io.ReadAll(io.LimitReader(section.Open(), maxSection))
	if err != nil {
		return nil
	}
	return bytes.TrimRight(text, "\x00")
}

// roleOf recognises an application by what its makers put into it: systemd-boot's
// .sdmagic, and the component's name in .sbat (shim's SBAT.md).
func roleOf(file io.ReaderAt, size int64) (role, error) {
	if size > maxImage {
		return "", errImage("too large")
	}
	parsed, err := parseImage(file, size)
	if err != nil {
		return "", err
	}
	if bytes.Contains(sectionText(parsed, ".sdmagic"), []byte("systemd-boot")) {
		return roleSystemdBoot, nil
	}
	for line := range bytes.Lines(sectionText(parsed, ".sbat")) {
		switch component, _, _ := bytes.Cut(line, []byte(",")); string(component) {
		case "shim":
			return roleShim, nil
		case "grub":
			return roleGRUB, nil
		}
	}
	return roleFinal, nil
}

// role opens an application and recognises it.
func (h host) role(path string) (role, error) {
	file, info, err := h.open(path)
	if err != nil {
		return "", err
	}
	defer file.Close() //nolint:errcheck // nothing was written
	id, ok := identityOf(info)
	if found, remembered := h.known.role(id); ok && remembered {
		return found, nil
	}
	found, err := roleOf(file, info.Size())
	if err != nil {
		return "", err
	}
	h.known.putRole(id, found)
	return found, nil
}
