//go:build conformance

package guest

import (
	"encoding/binary"
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// stallFUSE mounts over folder a file system whose server answers nothing but the
// kernel's greeting. What is asked of it hangs until die, and then fails until
// unmount.
func stallFUSE(t *testing.T, folder string) (die, unmount func()) {
	t.Helper()
	server, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatalf("open /dev/fuse: %v", err)
	}
	data := fmt.Sprintf("fd=%d,rootmode=40755,user_id=0,group_id=0,allow_other", server)
	if err := unix.Mount("stalled", folder, "fuse", unix.MS_NODEV|unix.MS_NOSUID, data); err != nil {
		t.Fatalf("mount over %s: %v", folder, err)
	}
	once := func(name string, do func() error) func() {
		return sync.OnceFunc(func() {
			if err := do(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	unmount = once("unmount "+folder, func() error { return unix.Unmount(folder, unix.MNT_DETACH) })
	die = once("close /dev/fuse", func() error { return unix.Close(server) })
	t.Cleanup(unmount)
	t.Cleanup(die)
	greetFUSE(t, server)
	return die, unmount
}

// greetFUSE answers FUSE_INIT, the first request: a header of 16 bytes with length,
// error and the request's number, then 64 bytes, of which protocol 7.31 and the
// shortest write are set.
func greetFUSE(t *testing.T, server int) {
	t.Helper()
	request := make([]byte, 64<<10)
	n, err := unix.Read(server, request)
	if err != nil || n < 16 {
		t.Fatalf("read FUSE_INIT: got %d bytes, %v", n, err)
	}
	order := binary.NativeEndian
	answer := make([]byte, 80)
	order.PutUint32(answer, uint32(len(answer)))
	copy(answer[8:16], request[8:16])
	order.PutUint32(answer[16:], 7)
	order.PutUint32(answer[20:], 31)
	order.PutUint32(answer[36:], 4096)
	if _, err := unix.Write(server, answer); err != nil {
		t.Fatalf("answer FUSE_INIT: %v", err)
	}
}

// stallDevice mounts over folder a file system with a certificate, and suspends the
// device beneath it. Who reads it then sleeps until resume, and no signal wakes him,
// as with a disk that is lost or an NFS server that is.
func stallDevice(t *testing.T, folder, certificate string) (resume func()) {
	t.Helper()
	const name, size = "stalled", 8 << 20
	image := filepath.Join(t.TempDir(), "image")
	command(t, "truncate", fmt.Sprintf("--size=%d", size), image)
	command(t, "mke2fs", "-q", "-t", "ext4", image)
	loop := command(t, "losetup", "--find", "--show", image)
	t.Cleanup(func() { command(t, "losetup", "--detach", loop) })
	command(t, "dmsetup", "create", name, "--table", fmt.Sprintf("0 %d linear %s 0", size/512, loop))
	t.Cleanup(func() { command(t, "dmsetup", "remove", "--retry", name) })
	mount := func() { command(t, "mount", "/dev/mapper/"+name, folder) }
	mount()
	writeFile(t, filepath.Join(folder, "leaf.crt"), certificate)
	// Mounted anew, nothing of it is in the kernel's memory.
	command(t, "umount", folder)
	mount()
	t.Cleanup(func() { command(t, "umount", "--lazy", folder) })
	resume = func() { command(t, "dmsetup", "resume", name) }
	t.Cleanup(resume)
	command(t, "dmsetup", "suspend", name)
	return resume
}
