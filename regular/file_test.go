package regular

import (
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"funlab.casa/attestation_exporter/failure"
)

const limit = 1 << 20

func text(r io.Reader) (string, error) {
	all, err := io.ReadAll(r)
	return string(all), err
}

func write(t *testing.T, path, content string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRefused(t *testing.T) {
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
	must(os.Truncate(write(t, in("sparse"), ""), 100<<20))
	must(os.Truncate(write(t, in("one too many"), ""), limit+1))
	must(os.Truncate(write(t, in("just fits"), ""), limit))
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", in("socket"))
	must(err)
	defer listener.Close()

	tests := []struct {
		name string
		want error
	}{
		{"fifo", ErrNotRegular},
		{"device", ErrNotRegular},
		{".", ErrNotRegular},
		{"socket", ErrNotRegular},
		{"loop", syscall.ELOOP},
		{"dangling", fs.ErrNotExist},
		{"absent", fs.ErrNotExist},
		{"just fits/below a file", syscall.ENOTDIR},
		{"sparse", ErrTooLarge},
		{"one too many", ErrTooLarge},
		{"just fits", nil},
		{strings.Repeat("x", 300), syscall.ENAMETOOLONG},
	}
	for _, tt := range tests {
		t.Run(tt.name[:min(len(tt.name), 30)], func(t *testing.T) {
			opened := false
			m := Memory[string]{open: func(path string) (file, error) { opened = true; return open(path) }}
			if _, _, err := m.Load(in(tt.name), limit, text); !errors.Is(err, tt.want) {
				t.Errorf("Load: got %v, want %v", err, tt.want)
			}
			if want := tt.want == nil; opened != want {
				t.Errorf("opened: got %v, want %v", opened, want)
			}
			if _, err := Read(in(tt.name), limit, text); !errors.Is(err, tt.want) {
				t.Errorf("Read: got %v, want %v", err, tt.want)
			}
		})
	}
}

// Files of /proc say that they are empty.
func TestTooLargeUnawares(t *testing.T) {
	if got, err := Read("/proc/self/status", 10, text); !errors.Is(err, ErrTooLarge) || got != "" || failure.Of(err) != failure.Malformed {
		t.Errorf("got %q, %v, want nothing and %v", got, err, ErrTooLarge)
	}
}

// What takes the place of a file between the look at it and the opening is refused
// too, and doesn't hold the reading up.
func TestSwappedBeforeOpen(t *testing.T) {
	path := write(t, filepath.Join(t.TempDir(), "file"), "x")
	m := Memory[string]{open: func(path string) (file, error) {
		if err := errors.Join(os.Remove(path), syscall.Mkfifo(path, 0o600)); err != nil {
			return nil, err
		}
		return open(path)
	}}
	if _, _, err := m.Load(path, limit, text); !errors.Is(err, ErrNotRegular) {
		t.Errorf("got %v, want %v", err, ErrNotRegular)
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

func TestChanging(t *testing.T) {
	tests := []struct {
		name  string
		times int // that the file is written to
		want  string
		err   error
	}{
		{"once", 1, "new", nil},
		{"twice", 2, "", ErrChanged},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := write(t, filepath.Join(t.TempDir(), "file"), "old text")
			left := tt.times
			m := Memory[string]{open: func(path string) (file, error) {
				f, err := open(path)
				return interrupted{file: f, interrupt: func() {
					if left > 0 {
						left--
						write(t, path, strings.Repeat("new", left+1))
					}
				}}, err
			}}
			if got, _, err := m.Load(path, limit, text); got != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("got %q, %v, want %q, %v", got, err, tt.want, tt.err)
			}
		})
	}
}

// Being renamed over is a change of the file that was opened: it loses a name.
func TestReplaced(t *testing.T) {
	dir := t.TempDir()
	path := write(t, filepath.Join(dir, "file"), "old")
	var once sync.Once
	m := Memory[string]{open: func(path string) (file, error) {
		f, err := open(path)
		return interrupted{file: f, interrupt: func() {
			once.Do(func() {
				if err := os.Rename(write(t, filepath.Join(dir, "new"), "new"), path); err != nil {
					t.Error(err)
				}
			})
		}}, err
	}}
	if got, _, err := m.Load(path, limit, text); got != "new" || err != nil {
		t.Errorf("got %q, %v, want new", got, err)
	}
}

func TestMemory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	digested := 0
	var m Memory[string]
	load := func(now time.Time, want string, wantDigested int) {
		t.Helper()
		m.Now = func() time.Time { return now }
		got, modified, err := m.Load(path, limit, func(r io.Reader) (string, error) { digested++; return text(r) })
		if err != nil {
			t.Fatal(err)
		}
		if got != want || digested != wantDigested {
			t.Errorf("got %q after reading %d times, want %q after %d", got, digested, want, wantDigested)
		}
		if time.Since(modified) > time.Hour {
			t.Errorf("modified: got %v, want a moment ago", modified)
		}
	}
	soon, later := time.Now().Add(time.Second), time.Now().Add(settled+time.Second)

	write(t, path, "first")
	load(soon, "first", 1)
	load(soon, "first", 2) // too young to be trusted
	load(later, "first", 3)
	load(later, "first", 3)
	load(soon, "first", 3) // trusted once, trusted until it changes

	write(t, path, "other")
	past := time.Now().Add(-30 * time.Minute)
	if err := os.Chtimes(path, past, past); err != nil { // as cp -p does
		t.Fatal(err)
	}
	load(later, "other", 4)
	load(later, "other", 4)

	if err := os.Rename(write(t, path+".new", "third"), path); err != nil {
		t.Fatal(err)
	}
	load(later, "third", 5)
	m.Forget(func(string) bool { return true })
	load(later, "third", 5)
	m.Forget(func(string) bool { return false })
	load(later, "third", 6)

	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, _, err := m.Load(path, limit, text); !errors.Is(err, fs.ErrNotExist) || len(m.entries) != 0 {
		t.Errorf("a removed file: got %v and %d entries, want that it is absent, and none", err, len(m.entries))
	}
}

// What could be made of a file comes beside the error, and isn't remembered.
func TestHalfDigested(t *testing.T) {
	path := write(t, filepath.Join(t.TempDir(), "file"), "x")
	broken := errors.New("broken")
	m := Memory[int]{Now: func() time.Time { return time.Now().Add(time.Hour) }}
	digested := 0
	for want := range 2 {
		got, modified, err := m.Load(path, limit, func(io.Reader) (int, error) { digested++; return digested, broken })
		if got != want+1 || modified.IsZero() || !errors.Is(err, broken) || !strings.Contains(err.Error(), path) {
			t.Errorf("got %d of %v, %v, want a part of it and why", got, modified, err)
		}
	}
}
