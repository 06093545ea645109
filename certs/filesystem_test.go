package certs

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"funlab.casa/attestation_exporter/failure"
)

// A file system that hangs holds up the one reading that it met. Those that come
// after it end by their own deadlines, and when it moves on all is well.
func TestSourceOnAHungFileSystem(t *testing.T) {
	p := newPKI(t)
	dir := t.TempDir()
	path := write(t, filepath.Join(dir, "leaf.crt"), pemOf(p.leaf))
	synctest.Test(t, func(t *testing.T) {
		s := newTestSource(t, Config{Files: []File{{Path: path}}})
		hang, parse := make(chan struct{}), s.cache.parse
		s.cache.parse = func(data []byte) contents { <-hang; return parse(data) }
		first := make(chan error, 1)
		go func() { _, err := s.Read(t.Context()); first <- err }()
		synctest.Wait()
		for range 100 {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			begin := time.Now()
			_, err := s.Read(ctx)
			cancel()
			if took := time.Since(begin); took != 10*time.Second || failure.Of(err) != failure.Timeout {
				t.Fatalf("meanwhile: got %v after %v, want a timeout after 10s", err, took)
			}
		}
		close(hang)
		if err := <-first; err != nil {
			t.Errorf("the one that hung: got %v", err)
		}
		expect(t, s, dir, "file leaf.crt CN=leaf")
	})
}

// A file system that goes away leaves an empty folder, or none, in its place. What
// was seen in it is missed until it is back.
func TestSourceOnAVanishedFileSystem(t *testing.T) {
	p := newPKI(t)
	dir := t.TempDir()
	mounted, away := filepath.Join(dir, "mounted"), filepath.Join(dir, "away")
	write(t, filepath.Join(mounted, "a.crt"), pemOf(p.leaf))
	write(t, filepath.Join(mounted, "b.crt"), pemOf(p.root))
	s := newTestSource(t, Config{Files: []File{{Path: filepath.Join(mounted, "*.crt"), Optional: true}}})
	well := []string{"file mounted/a.crt CN=leaf", "file mounted/b.crt CN=root"}
	missed := []string{"file mounted/a.crt failed not_found", "file mounted/b.crt failed not_found"}
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	expect(t, s, dir, well...)
	do(os.Rename(mounted, away))
	expect(t, s, dir, missed...)
	do(os.Mkdir(mounted, 0o700))
	expect(t, s, dir, missed...)
	do(os.Remove(mounted))
	do(os.Rename(away, mounted))
	expect(t, s, dir, well...)
}
