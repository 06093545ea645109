package spire

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"funlab.casa/attestation_exporter/failure"
)

// settled is how old a file's last change must be before an unchanged stat proves
// unchanged bytes: a file system's clock may tick as slowly as that.
const settled = 2 * time.Second

var (
	errNotRegular = errors.New("not a regular file")
	errTooLarge   = errors.New("too large")
	errChanged    = errors.New("changed while it was read")
)

// A version tells one state of a file from another.
type version struct {
	device, inode uint64
	size          int64
	modified      time.Time
	changed       time.Time
}

func versionOf(info os.FileInfo) (version, error) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return version{}, errors.New("no stat of this file")
	}
	return version{
		device:   stat.Dev,
		inode:    stat.Ino,
		size:     info.Size(),
		modified: info.ModTime(),
		changed:  time.Unix(stat.Ctim.Unix()),
	}, nil
}

// A memory keeps what was made of each file, for as long as the file stays as it
// was. The zero memory is ready; it is safe for concurrent use.
type memory[T any] struct {
	mu    sync.Mutex
	files map[string]memorized[T]
}

type memorized[T any] struct {
	version version
	value   T
}

// load returns what digest makes of the regular file at path. What came with an
// error isn't remembered.
func (m *memory[T]) load(path string, limit int64, digest func(io.Reader) (T, error)) (T, version, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if info, err := os.Stat(path); err == nil {
		now, err := versionOf(info)
		if last, ok := m.files[path]; ok && err == nil && last.version == now {
			return last.value, now, nil
		}
	}
	value, read, err := readFile(path, limit, digest)
	if err != nil {
		delete(m.files, path)
		return value, read, err
	}
	if m.files == nil {
		m.files = map[string]memorized[T]{}
	}
	if time.Since(read.changed) > settled {
		m.files[path] = memorized[T]{version: read, value: value}
	}
	return value, read, nil
}

// readFile hands the file at path to digest. It opens without waiting, for a path
// may lead to a FIFO, and reads regular files only.
func readFile[T any](path string, limit int64, digest func(io.Reader) (T, error)) (value T, read version, err error) {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return value, read, fmt.Errorf("open: %w", err)
	}
	defer func() { _ = file.Close() }() // Nothing was written that Close could lose.
	before, err := statVersion(file)
	if err != nil {
		return value, read, fmt.Errorf("%s: %w", path, err)
	}
	if before.size > limit {
		return value, read, failure.Errorf(failure.Malformed, "%s: %d bytes, at most %d are read: %w", path, before.size, limit, errTooLarge)
	}
	value, err = digest(io.LimitReader(file, limit))
	if err != nil {
		return value, before, fmt.Errorf("%s: %w", path, err)
	}
	after, err := statVersion(file)
	if err != nil || after != before {
		return value, read, failure.Wrap(failure.Malformed, fmt.Errorf("%s: %w", path, errors.Join(errChanged, err)))
	}
	return value, before, nil
}

func statVersion(file *os.File) (version, error) {
	info, err := file.Stat()
	if err != nil {
		return version{}, err
	}
	if !info.Mode().IsRegular() {
		return version{}, failure.Wrap(failure.Malformed, errNotRegular)
	}
	return versionOf(info)
}
