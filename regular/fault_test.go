package regular

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// failing is a file whose file system has gone away under it.
type failing struct {
	file
	err error
}

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// What a file system said while it was failing is neither remembered nor shown, and
// it is asked again each time.
func TestFileSystemGoesAway(t *testing.T) {
	path := write(t, filepath.Join(t.TempDir(), "file"), "text")
	later := time.Now().Add(time.Hour)
	tests := []struct {
		name string
		open func(string) (file, error)
		want error
	}{
		{"device gone", func(path string) (file, error) { f, err := open(path); return failing{f, syscall.EIO}, err }, syscall.EIO},
		{"handle stale", func(string) (file, error) { return nil, syscall.ESTALE }, syscall.ESTALE},
		{"not connected", func(string) (file, error) { return nil, syscall.ENOTCONN }, syscall.ENOTCONN},
		{"no files left", func(string) (file, error) { return nil, syscall.EMFILE }, syscall.EMFILE},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			opened := 0
			m := Memory[string]{Now: func() time.Time { return later }, open: func(path string) (file, error) { opened++; return tt.open(path) }}
			for range 2 {
				if got, _, err := m.Load(path, limit, text); got != "" || !errors.Is(err, tt.want) {
					t.Errorf("got %q, %v, want nothing and %v", got, err, tt.want)
				}
			}
			if opened != 2 {
				t.Errorf("opened: got %d times, want at each attempt", opened)
			}
			m.open = open
			if got, _, err := m.Load(path, limit, text); got != "text" || err != nil {
				t.Errorf("afterwards: got %q, %v, want the text", got, err)
			}
		})
	}
}

// However the wall clock is set, a change is seen.
func TestClockIsSet(t *testing.T) {
	path := write(t, filepath.Join(t.TempDir(), "file"), "first")
	var now time.Time
	m := Memory[string]{Now: func() time.Time { return now }}
	load := func(step time.Duration, want string) {
		t.Helper()
		now = time.Now().Add(step)
		if got, _, err := m.Load(path, limit, text); got != want || err != nil {
			t.Errorf("clock set by %v: got %q, %v, want %q", step, got, err, want)
		}
	}
	const day = 24 * time.Hour
	load(day, "first")
	load(-day, "first")
	write(t, path, "second")
	stamp := time.Now().Add(day) // written while the clock was ahead
	if err := os.Chtimes(path, stamp, stamp); err != nil {
		t.Fatal(err)
	}
	load(-day, "second")
	write(t, path, "third!")
	load(-day, "third!")
	load(day, "third!")
	write(t, path, "fourth")
	load(day, "fourth")
}
