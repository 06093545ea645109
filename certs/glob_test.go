package certs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"testing"
)

func TestGlob(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a/x.crt", "a/y.crt", "a/z.key", "b/x.crt", "b/[1].crt", "c"} {
		write(t, filepath.Join(dir, name), nil)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		pattern string
		want    []string
	}{
		{"a/*.crt", []string{"a/x.crt", "a/y.crt"}},
		{"*/x.crt", []string{"a/x.crt", "b/x.crt"}},
		{"*/*.crt", []string{"a/x.crt", "a/y.crt", "b/[1].crt", "b/x.crt"}},
		{"?/z.key", []string{"a/z.key"}},
		{"[ab]/x.crt", []string{"a/x.crt", "b/x.crt"}},
		{`b/\[1\].crt`, []string{"b/[1].crt"}},
		{"fifo/*", nil},
		{"absent/*.crt", nil},
		{"absent/*/*.crt", nil},
		{"absent", []string{"absent"}}, // without a pattern nothing is looked at
	}
	for _, tt := range tests {
		t.Run(tt.pattern, func(t *testing.T) {
			got, err := glob(t.Context(), filepath.Join(dir, tt.pattern), maxMatches)
			for i := range got {
				got[i], _ = filepath.Rel(dir, got[i])
			}
			if !slices.Equal(got, tt.want) || err != nil {
				t.Errorf("glob: got %q (%v), want %q", got, err, tt.want)
			}
		})
	}
}

func TestGlobRelative(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "x.crt"), nil)
	t.Chdir(dir)
	if got, err := glob(t.Context(), "*.crt", maxMatches); !slices.Equal(got, []string{"x.crt"}) || err != nil {
		t.Errorf("glob: got %q (%v), want x.crt", got, err)
	}
	if got, err := glob(t.Context(), "/de[v]", maxMatches); !slices.Equal(got, []string{"/dev"}) || err != nil {
		t.Errorf("glob in the root: got %q (%v), want /dev", got, err)
	}
}

func TestGlobTooMany(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a/1.crt", "a/2.crt", "a/3.key", "b/1.crt", "b/2.crt"} {
		write(t, filepath.Join(dir, name), nil)
	}
	tests := []struct {
		pattern string
		limit   int
		matches int
		want    error
	}{
		{"a/*.crt", 2, 2, nil},
		{"a/*.crt", 1, 1, errTooMany},
		{"*/*.crt", 4, 4, nil},
		{"*/*.crt", 3, 3, errTooMany},
		{"*/1.crt", 1, 1, errTooMany}, // of folders
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.pattern, " ", tt.limit), func(t *testing.T) {
			got, err := glob(t.Context(), filepath.Join(dir, tt.pattern), tt.limit)
			if len(got) != tt.matches || !errors.Is(err, tt.want) {
				t.Errorf("glob: got %q and %v, want %d and %v", got, err, tt.matches, tt.want)
			}
		})
	}
}

func TestGlobCancelled(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "x.crt"), nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := glob(ctx, filepath.Join(dir, "*.crt"), maxMatches); !errors.Is(err, context.Canceled) {
		t.Errorf("glob: got %v, want %v", err, context.Canceled)
	}
}

func TestGlobPermission(t *testing.T) {
	dir := publicDir(t)
	write(t, filepath.Join(dir, "closed/x.crt"), nil)
	if err := os.Chmod(filepath.Join(dir, "closed"), 0); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(filepath.Join(dir, "closed"), 0o700) // So that it can be removed.
	asNobody(t, func() {
		if got, err := glob(t.Context(), filepath.Join(dir, "*"), maxMatches); len(got) != 1 || err != nil {
			t.Errorf("glob *: got %q and %v, want the closed folder", got, err)
		}
		for _, pattern := range []string{"closed/*.crt", "*/*.crt", "closed/*/x"} {
			if got, err := glob(t.Context(), filepath.Join(dir, pattern), maxMatches); reasonOf(err) != Permission {
				t.Errorf("glob %s: got %q and %v, want reason %s", pattern, got, err, Permission)
			}
		}
	})
}

// publicDir returns a folder for the test that anybody may enter.
func publicDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := errors.Join(os.Chmod(filepath.Dir(dir), 0o755), os.Chmod(dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// asNobody runs f with the rights on files of an ordinary user, which root hasn't.
// They are the thread's, and f may start no goroutine that reads files.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	if os.Getuid() != 0 {
		f()
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // For good: the thread ends with the goroutine.
		if err := syscall.Setfsuid(65534); err != nil {
			t.Error(err)
			return
		}
		f()
	}()
	<-done
}
