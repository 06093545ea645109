// Package firmware plays a UEFI firmware for tests and the demo: it makes EFI
// applications, boot variables and the log of a measured boot.
package firmware

import (
	"bytes"
	"crypto"
	"debug/pe"
	"encoding/binary"
)

// A Section is a named part of an application.
type Section struct {
	Name    string
	Content string
}

// Shim is the first boot loader under Secure Boot.
func Shim(build string) []Section {
	return []Section{{".text", build}, {".sbat", "sbat,1,SBAT Version,sbat,1,url\nshim,4,UEFI shim,shim,1,url\n"}}
}

// GRUB is a boot loader.
func GRUB(build string) []Section {
	return []Section{{".text", build}, {".sbat", "sbat,1,SBAT Version,sbat,1,url\ngrub,4,FSF,grub,2.06,url\n"}}
}

// SystemdBoot is another.
func SystemdBoot(build string) []Section {
	return []Section{{".text", build}, {".sdmagic", "#### LoaderInfo: systemd-boot 252 ####"}}
}

// Kernel is one with the EFI stub.
func Kernel(build string) []Section { return []Section{{".text", build}} }

// UnifiedKernel is a kernel in one file with its os-release.
func UnifiedKernel(build, osRelease string) []Section {
	return []Section{{".text", build}, {".osrel", osRelease}, {".linux", build}}
}

const (
	peHeader      = 0x40
	optionalSize  = 240 // PE32+ with 16 data directories
	sectionSize   = 40
	fileAlignment = 512

	optional  = peHeader + 4 + 20
	checksum  = optional + 64
	directory = optional + 112 + 4*8 // of the certificate table
)

// Image makes a PE32+ file. It carries a certificate table, as a signed
// application does, that says no more than signature.
func Image(sections []Section, signature string) []byte {
	headers := align(optional + optionalSize + sectionSize*len(sections))
	var body bytes.Buffer
	table := make([]pe.SectionHeader32, len(sections))
	for i, section := range sections {
		size := align(len(section.Content))
		copy(table[i].Name[:], section.Name)
		table[i].VirtualSize = uint32(len(section.Content))
		table[i].SizeOfRawData = uint32(size)
		table[i].PointerToRawData = uint32(headers + body.Len())
		body.WriteString(section.Content)
		body.Write(make([]byte, size-len(section.Content)))
	}
	header := pe.OptionalHeader64{Magic: 0x20b, SizeOfHeaders: uint32(headers), CheckSum: 0x12345678, NumberOfRvaAndSizes: 16}
	header.DataDirectory[4] = pe.DataDirectory{VirtualAddress: uint32(headers + body.Len()), Size: uint32(len(signature))}

	var file bytes.Buffer
	file.WriteString("MZ")
	file.Write(make([]byte, peHeader-6))
	_ = binary.Write(&file, binary.LittleEndian, uint32(peHeader)) // A Buffer takes everything.
	file.WriteString("PE\x00\x00")
	_ = binary.Write(&file, binary.LittleEndian, pe.FileHeader{Machine: pe.IMAGE_FILE_MACHINE_AMD64, NumberOfSections: uint16(len(sections)), SizeOfOptionalHeader: optionalSize})
	_ = binary.Write(&file, binary.LittleEndian, header)
	_ = binary.Write(&file, binary.LittleEndian, table)
	file.Write(make([]byte, headers-file.Len()))
	file.Write(body.Bytes())
	file.WriteString(signature)
	return file.Bytes()
}

func align(size int) int { return (size + fileAlignment - 1) / fileAlignment * fileAlignment }

// Authenticode returns the digest of what Image has made: everything but the
// checksum, the entry of the certificate table, and that table.
func Authenticode(image []byte, algorithm crypto.Hash) []byte {
	end := len(image) - int(binary.LittleEndian.Uint32(image[directory+4:]))
	hash := algorithm.New()
	hash.Write(image[:checksum])
	hash.Write(image[checksum+4 : directory])
	hash.Write(image[directory+8 : end])
	return hash.Sum(nil)
}
