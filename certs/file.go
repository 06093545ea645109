package certs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"
)

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
	return version{
		device:   stat.Dev,
		inode:    stat.Ino,
		size:     stat.Size,
		modified: stat.Mtim.Nano(),
		changed:  stat.Ctim.Nano(),
	}, nil
}

// settled is the age from which a change leaves a trace. Kernels stamp files by a
// coarse clock, and two writes within one of its ticks look alike.
const settled = 2 * time.Second

// stable reports whether a file of this version, read at now, will look different
// after the next write.
func (v version) stable(now time.Time) bool {
	return now.Sub(time.Unix(0, v.changed)) >= settled
}

// file is what is read of an open file.
type file interface {
	io.ReadCloser
	Stat() (fs.FileInfo, error)
}

// statRegular refuses what should not even be opened: opening a FIFO waits for a
// writer, and opening a device may do something.
func statRegular(path string, limit int64) (fs.FileInfo, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	return info, checkRegular(path, info, limit)
}

func checkRegular(path string, info fs.FileInfo, limit int64) error {
	if !info.Mode().IsRegular() {
		return &LoadError{NotRegular, fmt.Errorf("%s is no regular file: %v", path, info.Mode().Type())}
	}
	if info.Size() > limit {
		return &LoadError{TooLarge, fmt.Errorf("%s has %d bytes, more than %d", path, info.Size(), limit)}
	}
	return nil
}

// openFile doesn't wait for a FIFO that took the place of the file since it was
// looked at.
func openFile(path string) (file, error) {
	return os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY|syscall.O_CLOEXEC, 0)
}

var errChanged = errors.New("changed while it was read")

// readFile returns the bytes of a regular file, and the version that they are of.
// A file that changes meanwhile is read once more.
func readFile(path string, limit int64, open func(string) (file, error)) ([]byte, version, error) {
	data, v, err := readOnce(path, limit, open)
	if errors.Is(err, errChanged) {
		data, v, err = readOnce(path, limit, open)
	}
	if errors.Is(err, errChanged) {
		err = &LoadError{Changed, fmt.Errorf("%s: %w, twice", path, err)}
	}
	return data, v, err
}

func readOnce(path string, limit int64, open func(string) (file, error)) ([]byte, version, error) {
	f, err := open(path)
	if err != nil {
		return nil, version{}, err
	}
	defer f.Close() //nolint:errcheck // Nothing was written.

	before, err := statOpen(f, path, limit)
	if err != nil {
		return nil, version{}, err
	}
	// Files of /proc and the like say that they are empty, hence the limit again.
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, version{}, fmt.Errorf("read %s: %w", path, err)
	}
	if int64(len(data)) > limit {
		return nil, version{}, &LoadError{TooLarge, fmt.Errorf("%s has more than %d bytes", path, limit)}
	}
	after, err := statOpen(f, path, limit)
	if err != nil {
		return nil, version{}, err
	}
	if before != after {
		return nil, version{}, errChanged
	}
	return data, after, nil
}

func statOpen(f file, path string, limit int64) (version, error) {
	info, err := f.Stat()
	if err != nil {
		return version{}, err
	}
	if err := checkRegular(path, info, limit); err != nil {
		return version{}, err
	}
	return versionOf(info)
}
