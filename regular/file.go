// Package regular reads regular files that others write: bounded in size, without
// waiting for a FIFO or touching a device, and again only when they have changed.
//
// It doesn't know what is in them, and it can't help that a hung file system holds
// up whoever reads from it.
package regular

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"

	"funlab.casa/attestation_exporter/failure"
)

// Why a file isn't read although it is there and may be opened.
var (
	ErrNotRegular = errors.New("no regular file")
	ErrTooLarge   = errors.New("too large")
	ErrChanged    = errors.New("changed while it was read, twice")
)

// errChanging is a change during one attempt.
var errChanging = errors.New("changed while it was read")

// version tells whether a file may have changed: it is renamed over, or written
// to, and something in here moves. The change time can't be set back by those who
// set the modification time (cp -p, rsync -t).
type version struct {
	device, inode uint64
	size          int64
	modified      int64 // ns
	changed       int64 // ns
}

func versionOf(info fs.FileInfo) (version, error) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return version{}, fmt.Errorf("unexpected type of file information %T", info.Sys())
	}
	return versionFrom(stat), nil
}

func versionFrom(stat *syscall.Stat_t) version {
	return version{
		device:   stat.Dev,
		inode:    stat.Ino,
		size:     stat.Size,
		modified: stat.Mtim.Nano(),
		changed:  stat.Ctim.Nano(),
	}
}

// settled is the age from which a change leaves a trace. Kernels stamp files by a
// coarse clock, and two writes within one of its ticks look alike.
const settled = 2 * time.Second

// stable reports whether a file of this version, read at now, will look different
// after the next write.
func (v version) stable(now time.Time) bool {
	return now.Sub(time.Unix(0, v.changed)) >= settled
}

// Read returns what digest makes of the regular file at path, which has at most
// limit bytes, and reads it once more if it changes meanwhile. What digest returns
// beside an error is returned, too.
func Read[T any](path string, limit int64, digest func(io.Reader) (T, error)) (T, error) {
	if _, err := look(path, limit); err != nil {
		var none T
		return none, err
	}
	value, _, err := read(path, limit, open, digest)
	return value, err
}

// look refuses what should not even be opened: opening a FIFO waits for a writer,
// and opening a device may do something.
func look(path string, limit int64) (version, error) {
	if v, ok := glance(path, limit); ok {
		return v, nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return version{}, err
	}
	return check(path, info, limit)
}

// glance is look for a file that is as it should be, without what os.Stat allocates
// for it. What is in the way, be it only a signal, is left for os.Stat to tell.
func glance(path string, limit int64) (version, bool) {
	var stat syscall.Stat_t
	if err := syscall.Stat(path, &stat); err != nil {
		return version{}, false
	}
	return versionFrom(&stat), stat.Mode&syscall.S_IFMT == syscall.S_IFREG && stat.Size <= limit
}

func check(path string, info fs.FileInfo, limit int64) (version, error) {
	if !info.Mode().IsRegular() {
		return version{}, failure.Errorf(failure.Malformed, "%s is %w: %v", path, ErrNotRegular, info.Mode().Type())
	}
	if info.Size() > limit {
		return version{}, failure.Errorf(failure.Malformed, "%s is %w: %d bytes, more than %d", path, ErrTooLarge, info.Size(), limit)
	}
	return versionOf(info)
}

// file is what is read of an open file.
type file interface {
	io.ReadCloser
	Stat() (fs.FileInfo, error)
}

// open doesn't wait for a FIFO that took the place of the file since it was looked
// at.
func open(path string) (file, error) {
	return os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY|syscall.O_CLOEXEC, 0)
}

// read returns the version that the value is of, too.
func read[T any](path string, limit int64, open func(string) (file, error), digest func(io.Reader) (T, error)) (T, version, error) {
	value, v, err := readOnce(path, limit, open, digest)
	if errors.Is(err, errChanging) {
		value, v, err = readOnce(path, limit, open, digest)
	}
	if errors.Is(err, errChanging) {
		err = failure.Errorf(failure.Malformed, "%s %w", path, ErrChanged)
	}
	return value, v, err
}

func readOnce[T any](path string, limit int64, open func(string) (file, error), digest func(io.Reader) (T, error)) (value T, _ version, _ error) {
	f, err := open(path)
	if err != nil {
		return value, version{}, err
	}
	defer f.Close() //nolint:errcheck // Nothing was written.

	before, err := lookAgain(f, path, limit)
	if err != nil {
		return value, version{}, err
	}
	// Files of /proc and the like say that they are empty, hence the limit again.
	bounded := &io.LimitedReader{R: f, N: limit + 1}
	value, digestErr := digest(bounded)
	if bounded.N == 0 {
		var none T
		return none, version{}, failure.Errorf(failure.Malformed, "%s is %w: more than %d bytes", path, ErrTooLarge, limit)
	}
	after, err := lookAgain(f, path, limit)
	if err == nil && before != after {
		err = errChanging
	}
	if err != nil {
		var none T
		return none, version{}, err
	}
	if digestErr != nil {
		return value, after, fmt.Errorf("%s: %w", path, digestErr)
	}
	return value, after, nil
}

func lookAgain(f file, path string, limit int64) (version, error) {
	info, err := f.Stat()
	if err != nil {
		return version{}, err
	}
	return check(path, info, limit)
}
