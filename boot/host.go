package boot

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"funlab.casa/attestation_exporter/failure"
)

// A host is the file system that is looked at: the machine's own, or a folder that
// stands for one in a test.
type host struct {
	root  string
	known *Memory
}

func (h host) at(path string) string { return filepath.Join(h.root, path) }

// open opens a regular file for reading. The open doesn't wait, so that a FIFO in
// a file's place is noticed and not waited for.
func (h host) open(path string) (*os.File, os.FileInfo, error) {
	file, err := os.OpenFile(h.at(path), os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = failure.Errorf(failure.Malformed, "%s is not a regular file", path)
	}
	if err != nil {
		return nil, nil, errors.Join(err, file.Close())
	}
	return file, info, nil
}

// read returns a file of at most limit bytes.
func (h host) read(path string, limit int64) ([]byte, error) {
	file, _, err := h.open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // nothing was written
	content, err := io.ReadAll(io.LimitReader(file, limit+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", path, err)
	case int64(len(content)) > limit:
		return nil, failure.Errorf(failure.Malformed, "%s has more than %d bytes", path, limit)
	}
	return content, nil
}

// isFile tells whether a regular file that isn't empty is there.
func (h host) isFile(path string) bool {
	info, err := os.Stat(h.at(path))
	return err == nil && info.Mode().IsRegular() && info.Size() > 0
}

// maxFiles bounds how many files of one folder are looked at.
const maxFiles = 512

// list returns the names in a folder that end in suffix. A folder that isn't there
// has none.
func (h host) list(directory, suffix string) ([]string, error) {
	folder, err := os.Open(h.at(directory))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer folder.Close() //nolint:errcheck // nothing was written
	names, err := folder.Readdirnames(maxFiles)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	var matching []string
	for _, name := range names {
		if len(name) > len(suffix) && strings.EqualFold(name[len(name)-len(suffix):], suffix) {
			matching = append(matching, name)
		}
	}
	return matching, nil
}

// A mount is a part of a file system that the host can read.
type mount struct {
	device string // its kernel name, such as nvme0n1p1
	root   string // the folder of the file system that is mounted, mostly /
	point  string
	kind   string
}

const maxMounts = 1 << 20

// mounts reads proc_pid_mountinfo(5).
func (h host) mounts() ([]mount, error) {
	text, err := h.read("/proc/self/mountinfo", maxMounts)
	if err != nil {
		return nil, err
	}
	var mounts []mount
	for line := range strings.Lines(string(text)) {
		left, right, ok := strings.Cut(line, " - ")
		before, after := strings.Fields(left), strings.Fields(right)
		if !ok || len(before) < 5 || len(after) < 2 {
			continue
		}
		mounts = append(mounts, mount{
			device: h.deviceName(before[2], unescape(after[1])),
			root:   unescape(before[3]),
			point:  unescape(before[4]),
			kind:   after[0],
		})
	}
	return mounts, nil
}

// deviceName returns the kernel's name of a mounted device. Its number is surer
// than the source, which may be "/dev/root"; btrfs has a number of its own, and
// then the source must do.
func (h host) deviceName(number, source string) string {
	if target, err := os.Readlink(h.at("/sys/dev/block/" + number)); err == nil {
		return filepath.Base(target)
	}
	if target, err := os.Readlink(h.at(source)); err == nil {
		return filepath.Base(target) // /dev/mapper/vg-boot -> ../dm-1
	}
	return filepath.Base(source)
}

// unescape undoes the octal escapes of mountinfo.
func unescape(field string) string {
	var plain strings.Builder
	for {
		before, after, found := strings.Cut(field, `\`)
		plain.WriteString(before)
		if !found {
			return plain.String()
		}
		if len(after) >= 3 {
			if code, err := strconv.ParseUint(after[:3], 8, 8); err == nil {
				plain.WriteByte(byte(code))
				field = after[3:]
				continue
			}
		}
		plain.WriteByte('\\')
		field = after
	}
}

// errNotMounted says that a file system that the boot reads isn't mounted.
var errNotMounted = errors.New("not mounted")

// partition returns the kernel's name for one of udev's links, such as
// by-partuuid/6c61622d-…, or by-uuid/… for a file system.
func (h host) partition(link string) (string, error) {
	target, err := os.Readlink(h.at("/dev/disk/" + link))
	if err != nil {
		return "", err
	}
	return filepath.Base(target), nil
}

// locate returns where a path of a device's file system is in the host's tree.
func (h host) locate(device, path string) (string, error) {
	mounts, err := h.mounts()
	if err != nil {
		return "", err
	}
	path = filepath.Clean("/" + path)
	for _, m := range mounts {
		if m.device != device {
			continue
		}
		if m.root == "/" {
			return filepath.Join(m.point, path), nil
		}
		if rest, ok := strings.CutPrefix(path, m.root+"/"); ok {
			return filepath.Join(m.point, rest), nil
		}
	}
	return "", fmt.Errorf("%s: %w", device, errNotMounted)
}
