package certs

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func TestReadRefused(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(syscall.Mkfifo(in("fifo"), 0o600))
	must(os.Symlink("/dev/zero", in("device")))
	must(os.Symlink("loop", in("loop")))
	must(os.Symlink("nothing", in("dangling")))
	must(os.Truncate(write(t, in("sparse"), nil), 100<<20))
	must(os.Truncate(write(t, in("one too many"), nil), maxCertificateFile+1))
	must(os.Truncate(write(t, in("just fits"), nil), maxCertificateFile))
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", in("socket"))
	must(err)
	defer listener.Close()

	tests := []struct {
		name string
		want LoadReason
	}{
		{"fifo", NotRegular},
		{"device", NotRegular},
		{".", NotRegular},
		{"socket", NotRegular},
		{"loop", SymlinkLoop},
		{"dangling", NotFound},
		{"absent", NotFound},
		{"just fits/below a file", NotFound},
		{"sparse", TooLarge},
		{"one too many", TooLarge},
		{"just fits", ""},
		{strings.Repeat("x", 300), ReadError}, // ENAMETOOLONG
	}
	for _, tt := range tests {
		t.Run(tt.name[:min(len(tt.name), 30)], func(t *testing.T) {
			opened := false
			c := newCache(maxCertificateFile, contentsOf)
			c.open = func(path string) (file, error) { opened = true; return openFile(path) }
			_, _, err := c.load(in(tt.name))
			if got := reasonOf(err); got != tt.want {
				t.Errorf("load: got reason %q (%v), want %q", got, err, tt.want)
			}
			if want := tt.want == ""; opened != want {
				t.Errorf("opened: got %v, want %v", opened, want)
			}
		})
	}
}

// What takes the place of a file between the look at it and the opening is refused
// too, and doesn't hold the reading up.
func TestReadSwappedBeforeOpen(t *testing.T) {
	path := write(t, filepath.Join(t.TempDir(), "file"), []byte("x"))
	c := newCache(maxCertificateFile, contentsOf)
	c.open = func(path string) (file, error) {
		if err := errors.Join(os.Remove(path), syscall.Mkfifo(path, 0o600)); err != nil {
			return nil, err
		}
		return openFile(path)
	}
	if _, _, err := c.load(path); reasonOf(err) != NotRegular {
		t.Errorf("load: got %v, want reason %s", err, NotRegular)
	}
}

// An interrupted file is written to while it is read.
type interrupted struct {
	file
	interrupt func()
}

func (f interrupted) Read(p []byte) (int, error) {
	n, err := f.file.Read(p)
	if errors.Is(err, io.EOF) {
		f.interrupt()
	}
	return n, err
}

func TestReadChanging(t *testing.T) {
	tests := []struct {
		name  string
		times int // that the file is written to
		want  LoadReason
		text  string
	}{
		{"once", 1, "", "new"},
		{"twice", 2, Changed, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := write(t, filepath.Join(t.TempDir(), "file"), []byte("old text"))
			left := tt.times
			open := func(path string) (file, error) {
				f, err := openFile(path)
				return interrupted{file: f, interrupt: func() {
					if left > 0 {
						left--
						write(t, path, []byte(strings.Repeat("new", left+1)))
					}
				}}, err
			}
			data, _, err := readFile(path, maxCertificateFile, open)
			if got := reasonOf(err); got != tt.want || string(data) != tt.text {
				t.Errorf("readFile: got %q and reason %q (%v), want %q and %q", data, got, err, tt.text, tt.want)
			}
		})
	}
}

// Being renamed over is a change of the file that was opened: it loses a name.
func TestReadReplaced(t *testing.T) {
	dir := t.TempDir()
	path := write(t, filepath.Join(dir, "file"), []byte("old"))
	var once sync.Once
	open := func(path string) (file, error) {
		f, err := openFile(path)
		return interrupted{file: f, interrupt: func() {
			once.Do(func() {
				if err := os.Rename(write(t, filepath.Join(dir, "new"), []byte("new")), path); err != nil {
					t.Error(err)
				}
			})
		}}, err
	}
	if data, _, err := readFile(path, maxCertificateFile, open); string(data) != "new" || err != nil {
		t.Errorf("readFile: got %q (%v), want new", data, err)
	}
}

func TestCache(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	parsed := 0
	c := newCache(maxCertificateFile, func(data []byte) string { parsed++; return string(data) })
	load := func(now time.Time, want string, wantParsed int) {
		t.Helper()
		c.now = func() time.Time { return now }
		got, modified, err := c.load(path)
		if err != nil {
			t.Fatal(err)
		}
		if got != want || parsed != wantParsed {
			t.Errorf("load: got %q after parsing %d times, want %q after %d", got, parsed, want, wantParsed)
		}
		if time.Since(modified) > time.Hour {
			t.Errorf("modified: got %v, want a moment ago", modified)
		}
	}
	soon, later := time.Now().Add(time.Second), time.Now().Add(settled+time.Second)

	write(t, path, []byte("first"))
	load(soon, "first", 1)
	load(soon, "first", 2) // too young to be trusted
	load(later, "first", 3)
	load(later, "first", 3)
	load(soon, "first", 3) // trusted once, trusted until it changes

	write(t, path, []byte("other"))
	past := time.Now().Add(-30 * time.Minute)
	if err := os.Chtimes(path, past, past); err != nil { // as cp -p does
		t.Fatal(err)
	}
	load(later, "other", 4)
	load(later, "other", 4)

	if err := os.Rename(write(t, path+".new", []byte("third")), path); err != nil {
		t.Fatal(err)
	}
	load(later, "third", 5)

	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.load(path); !isAbsent(err) || len(c.entries) != 0 {
		t.Errorf("load of a removed file: got %v and %d entries, want that it is absent, and none", err, len(c.entries))
	}
}

func TestCacheKeep(t *testing.T) {
	c := newCache(maxCertificateFile, contentsOf)
	c.entries["wanted"], c.entries["gone"] = entry[contents]{}, entry[contents]{}
	c.keep(func(path string) bool { return path == "wanted" })
	if _, ok := c.entries["wanted"]; !ok || len(c.entries) != 1 {
		t.Errorf("keep: got %v, want what is wanted", c.entries)
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
