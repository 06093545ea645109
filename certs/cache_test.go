package certs

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestReasonsOfFiles(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	for _, err := range []error{
		syscall.Mkfifo(in("fifo"), 0o600),
		os.Symlink("loop", in("loop")),
		os.Truncate(write(t, in("too large"), nil), maxCertificateFile+1),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name string
		want LoadReason
	}{
		{"fifo", NotRegular},
		{"loop", SymlinkLoop},
		{"absent", NotFound},
		{"too large/below a file", NotFound},
		{"too large", TooLarge},
		{strings.Repeat("x", 300), ReadError}, // ENAMETOOLONG
	}
	for _, tt := range tests {
		t.Run(tt.name[:min(len(tt.name), 30)], func(t *testing.T) {
			_, _, err := newCache(maxCertificateFile, contentsOf).load(in(tt.name))
			if got := reasonOf(err); got != tt.want {
				t.Errorf("got reason %q (%v), want %q", got, err, tt.want)
			}
		})
	}
}

// The bytes of a file are wiped when it is parsed.
func TestCacheWipes(t *testing.T) {
	path := write(t, filepath.Join(t.TempDir(), "file"), []byte("secret"))
	var kept []byte
	c := newCache(maxCertificateFile, func(data []byte) int { kept = data; return 0 })
	if _, _, err := c.load(path); err != nil {
		t.Fatal(err)
	}
	if got := string(kept); got != "\x00\x00\x00\x00\x00\x00" {
		t.Errorf("bytes after parsing: got %q, want zeros", got)
	}
}
