package boot

import (
	"bytes"
	"crypto"
	"encoding/binary"
	"encoding/hex"
	"testing"

	"funlab.casa/attestation_exporter/failure"
	"funlab.casa/attestation_exporter/internal/tower/firmware"
)

func digestOf(image []byte) (string, error) {
	digest, err := authenticode(bytes.NewReader(image), int64(len(image)), crypto.SHA256)
	return hex.EncodeToString(digest), err
}

func TestAuthenticode(t *testing.T) {
	image := firmware.Image(firmware.GRUB("grub"), "signed")
	got, err := digestOf(image)
	if want := hex.EncodeToString(firmware.Authenticode(image, crypto.SHA256)); got != want || err != nil {
		t.Errorf("digest: got %s, error %v, want %s", got, err, want)
	}
	t.Run("signature doesn't count", func(t *testing.T) {
		again, err := digestOf(firmware.Image(firmware.GRUB("grub"), "a longer signature of somebody else"))
		if again != got || err != nil {
			t.Errorf("got %s, error %v, want %s", again, err, got)
		}
	})
	t.Run("each other byte counts", func(t *testing.T) {
		for _, at := range []int{0x40, 0x58, 0x1f0, len(image) - 600} {
			changed := bytes.Clone(image)
			changed[at+1] ^= 0x20
			if again, err := digestOf(changed); again == got && err == nil {
				t.Errorf("byte %d changed: got the same digest", at+1)
			}
		}
	})
}

func TestAuthenticodeRefuses(t *testing.T) {
	const (
		optional = 0x40 + 24
		sections = optional + 240
	)
	tests := []struct {
		name   string
		change func(image []byte) []byte
	}{
		{"empty", func([]byte) []byte { return nil }},
		{"text", func([]byte) []byte { return []byte("#!/bin/sh\n") }},
		{"cut within the headers", func(image []byte) []byte { return image[:optional+100] }},
		{"cut within a section", func(image []byte) []byte { return image[:600] }},
		{"section behind the end", func(image []byte) []byte {
			binary.LittleEndian.PutUint32(image[sections+20:], 0xffffff00)
			return image
		}},
		{"certificate table larger than the file", func(image []byte) []byte {
			binary.LittleEndian.PutUint32(image[optional+112+4*8+4:], 1<<31)
			return image
		}},
		{"headers larger than the file", func(image []byte) []byte {
			binary.LittleEndian.PutUint32(image[optional+60:], 1<<31)
			return image
		}},
		{"headers that end before the directory", func(image []byte) []byte {
			binary.LittleEndian.PutUint32(image[optional+60:], 16)
			return image
		}},
		{"no directories", func(image []byte) []byte {
			binary.LittleEndian.PutUint32(image[optional+108:], 2)
			return image
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := digestOf(tt.change(firmware.Image(firmware.Shim("shim"), "signed")))
			if err == nil {
				t.Errorf("digest: got %s, want an error", got)
			}
		})
	}
}

func TestRoleOf(t *testing.T) {
	tests := []struct {
		name     string
		sections []firmware.Section
		want     role
	}{
		{"shim", firmware.Shim("x"), roleShim},
		{"GRUB", firmware.GRUB("x"), roleGRUB},
		{"systemd-boot", firmware.SystemdBoot("x"), roleSystemdBoot},
		{"kernel", firmware.Kernel("x"), roleFinal},
		{"unified kernel image", firmware.UnifiedKernel("x", "ID=debian\n"), roleFinal},
		{"a text that is too long", []firmware.Section{{Name: ".sbat", Content: "shim,1\n" + string(make([]byte, maxSection))}}, roleFinal},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			image := firmware.Image(tt.sections, "")
			if got, err := roleOf(bytes.NewReader(image), int64(len(image))); got != tt.want || err != nil {
				t.Errorf("got %s, error %v, want %s", got, err, tt.want)
			}
		})
	}
	if _, err := roleOf(bytes.NewReader(nil), maxImage+1); failure.Of(err) != failure.Malformed {
		t.Errorf("too large: got error %v, want a malformed file", err)
	}
}

func FuzzImage(f *testing.F) {
	f.Add(firmware.Image(firmware.Shim("shim"), "signed"))
	f.Add(firmware.Image(firmware.UnifiedKernel("linux", "ID=debian\nVERSION_ID=\"12\"\n"), ""))
	f.Fuzz(func(_ *testing.T, image []byte) {
		if _, err := digestOf(image); err != nil {
			return
		}
		if _, err := roleOf(bytes.NewReader(image), int64(len(image))); err != nil {
			return
		}
	})
}

func FuzzLoadOption(f *testing.F) {
	f.Add(firmware.LoadOption("debian", "6c61622d-0000-4000-8000-657370000002", "/EFI/debian/shimx64.efi", "options"))
	f.Add(firmware.DiskOption("disk"))
	f.Fuzz(func(_ *testing.T, raw []byte) {
		if option, err := parseLoadOption(raw); err == nil {
			utf16Text(option.options)
		}
	})
}
