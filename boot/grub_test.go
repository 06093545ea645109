package boot

import (
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"funlab.casa/attestation_exporter/failure"
)

// disk is a file system of GRUB's, by device and path.
type disk map[string]string

func (d disk) read(at place) ([]byte, error) {
	text, ok := d[at.device+at.path]
	if !ok {
		return nil, fmt.Errorf("%v: %w", at, fs.ErrNotExist)
	}
	return []byte(text), nil
}

func (d disk) exists(at place) bool { return d[at.device+at.path] != "" }

func (d disk) entries(directory place) ([]loaderEntry, error) {
	var entries []loaderEntry
	for name, text := range d {
		if file, ok := strings.CutPrefix(name, directory.device+directory.path+"/"); ok {
			entries = append(entries, parseEntry(file, text))
		}
	}
	return entries, nil
}

const two = `
menuentry "First" --id=one { linux /one }
menuentry 'Second' --class os --unrestricted --hotkey=s --id two $feature_x {
	linux /two quiet
}
`

func TestGRUBKernel(t *testing.T) {
	const nested = `
menuentry 'Simple' --id simple { linux /simple }
submenu 'Advanced' --id advanced {
	menuentry 'A' --id a { linux /a }
	menuentry 'B' --id b { linux /b }
}
`
	tests := []struct {
		name   string
		script string
		more   disk
		want   place
	}{
		{"no default", two, nil, place{startDevice, "/one"}},
		{"default by number", "set default=1" + two, nil, place{startDevice, "/two"}},
		{"default by id", "default=two" + two, nil, place{startDevice, "/two"}},
		{"default by title", "set default=Second" + two, nil, place{startDevice, "/two"}},
		{"default that isn't there", "set default=Third" + two, nil, place{startDevice, "/one"}},
		{"number that isn't there", "set default=7" + two, nil, place{startDevice, "/one"}},
		{"submenu by ids", "set default='advanced>b'" + nested, nil, place{startDevice, "/b"}},
		{"submenu by numbers", `set default="1>1"` + nested, nil, place{startDevice, "/b"}},
		{"submenu without an entry", "set default=1" + nested, nil, place{startDevice, "/a"}},
		{"device found by UUID", "search --no-floppy --fs-uuid --set=root --hint-efi=hd0,gpt2 6C61-6201\nmenuentry x { linux /k }", nil, place{"by-uuid/6C61-6201", "/k"}},
		{"device found by label", "search --label --set dev LAB\nmenuentry x { linux ($dev)/k }", nil, place{"by-label/LAB", "/k"}},
		{"device found in the entry", "menuentry x { search.fs_uuid abc root hd0\n linux /k }", nil, place{"by-uuid/abc", "/k"}},
		{"device not found by file", "search --file --set=root /.disk\nmenuentry x { linux /k }", nil, place{startDevice, "/k"}},
		{"environment", "load_env\nset default=$saved_entry" + two, disk{"start/EFI/x/grubenv": "# GRUB Environment Block\nsaved_entry=two\n####"}, place{startDevice, "/two"}},
		{"part of the environment", "load_env --file /env saved_entry\nset default=$saved_entry$other" + two, disk{"start/env": "saved_entry=two\nother=x\n"}, place{startDevice, "/two"}},
		{"no environment", "load_env\nset default=$saved_entry" + two, nil, place{startDevice, "/one"}},
		{"configfile takes exported variables along", "export default\nset default=two\nset lost=y\nset prefix=(by-uuid/u)/grub\nconfigfile $prefix/grub.cfg\nmenuentry no { linux /no }",
			disk{"by-uuid/u/grub/grub.cfg": `if [ -n "$lost" ]; then set default=one; fi` + two}, place{startDevice, "/two"}},
		{"source", "source /more.cfg", disk{"start/more.cfg": two}, place{startDevice, "/one"}},
		{"function", "function pick {\n set default=two\n}\npick" + two, nil, place{startDevice, "/two"}},
		{"for", "for d in one two; do set default=$d; done" + two, nil, place{startDevice, "/two"}},
		{"while is passed over", "while keystatus --shift; do set default=two; done" + two, nil, place{startDevice, "/one"}},
		{"key that nobody presses", "if keystatus --shift; then set default=two; fi" + two, nil, place{startDevice, "/one"}},
		{"elif", "if [ a = b ]; then set default=1\nelif [ a != b ] ; then set default=0\nelse set default=1; fi" + two, nil, place{startDevice, "/one"}},
		{"numbers compared", "if [ 10 -gt 9 -a ! 2 -eq 3 ]; then set default=1; fi" + two, nil, place{startDevice, "/two"}},
		{"either", "if [ -z x -o -f /there ]; then set default=1; fi" + two, disk{"start/there": "x"}, place{startDevice, "/two"}},
		{"quotes and escapes", `set a="t\"w"` + "\nset b='o\\'\nset c=t\\\nwo\nif [ \"$a$b\" = 't\"wo\\' ]; then set default=two; fi" + two, nil, place{startDevice, "/two"}},
		{"comment", "# set default=two\nset x=y # default=two" + two, nil, place{startDevice, "/one"}},
		{"translated", `menuentry $"First" { linux /k }`, nil, place{startDevice, "/k"}},
		{"chainloader", "menuentry x { chainloader --force /EFI/other.efi }", nil, place{startDevice, "/EFI/other.efi"}},
		{"loader entries, newest first", "set default=0\nsearch --fs-uuid --set=root b\nblscfg", disk{
			"by-uuid/b/loader/entries/id-5.14.0-9.conf":      "title Nine\nlinux /vmlinuz-9\n",
			"by-uuid/b/loader/entries/id-5.14.0-10.conf":     "title Ten\nlinux /vmlinuz-10\n",
			"by-uuid/b/loader/entries/id-0-rescue.conf":      "title Rescue\nlinux /vmlinuz-0\n",
			"by-uuid/b/boot/loader/entries/id-99.conf.saved": "",
		}, place{"by-uuid/b", "/vmlinuz-10"}},
		{"loader entry by id", "set default=id-5.14.0-9\nblscfg", disk{
			"start/boot/loader/entries/id-5.14.0-9.conf":  "title Nine\nlinux\t/boot/vmlinuz-9\n",
			"start/boot/loader/entries/id-5.14.0-10.conf": "title Ten\nlinux /boot/vmlinuz-10\n",
		}, place{startDevice, "/boot/vmlinuz-9"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			files := disk{"start/EFI/x/grub.cfg": tt.script}
			for name, text := range tt.more {
				files[name] = text
			}
			got, err := grubKernel(files, place{startDevice, "/EFI/x/grub.cfg"})
			if got != tt.want || err != nil {
				t.Errorf("kernel: got %v, error %v, want %v", got, err, tt.want)
			}
		})
	}
}

func TestGRUBKernelFails(t *testing.T) {
	tests := []struct {
		name   string
		script string
		reason failure.Reason
	}{
		{"no entry", "set default=0", failure.Internal},
		{"entry without a kernel", "menuentry x { fwsetup }", failure.Internal},
		{"file missing", "configfile /nothing.cfg", failure.Unreachable},
		{"quote not closed", "set a='x", failure.Malformed},
		{"double quote not closed", `set a="x`, failure.Malformed},
		{"brace not closed", "menuentry x { linux /k", failure.Malformed},
		{"stray keyword", "fi", failure.Malformed},
		{"if without then", "if true; fi", failure.Malformed},
		{"reads itself", "source /EFI/x/grub.cfg", failure.Malformed},
		{"calls itself", "function f { f; }\nf", failure.Malformed},
		{"nested without end", strings.Repeat("if true; then ", 1000), failure.Malformed},
		{"more than can be run", strings.Repeat("for a in 1 2 3 4 5 6 7 8 9 0; do ", 6) + "true" + strings.Repeat("; done", 6), failure.Malformed},
		{"more than can be held", "set a=xxxxxxxxxxxxxxxx\nfor b in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do set a=$a$a; done", failure.Malformed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := grubKernel(disk{"start/EFI/x/grub.cfg": tt.script}, place{startDevice, "/EFI/x/grub.cfg"})
			if err == nil || failure.Of(err) != tt.reason {
				t.Errorf("got %v, error %v, want reason %s", got, err, tt.reason)
			}
		})
	}
}

func FuzzGRUBKernel(f *testing.F) {
	f.Add(two)
	f.Add("if [ -s $prefix/grubenv ]; then\n load_env\nfi\nset default=\"${saved_entry}\"" + two)
	f.Add("function f { for a in $b; do set default=\"1>${a}\"; done; }\nf\nsubmenu 's' { source /EFI/x/grub.cfg; }\nblscfg")
	f.Fuzz(func(_ *testing.T, script string) {
		files := disk{"start/EFI/x/grub.cfg": script, "start/loader/entries/a.conf": script}
		if _, err := grubKernel(files, place{startDevice, "/EFI/x/grub.cfg"}); err != nil {
			return
		}
	})
}
