//go:build conformance

package guest

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// changing are the system calls that start a program or change what a file system
// holds. What an open file holds is changed by who may write to it, which the opening
// tells.
const changing = `execve execveat ptrace
	mkdir mkdirat mknod mknodat symlink symlinkat link linkat
	rmdir unlink unlinkat rename renameat renameat2
	truncate ftruncate fallocate utime utimes futimesat utimensat
	chmod fchmod fchmodat chown fchown fchownat lchown
	setxattr lsetxattr fsetxattr removexattr lremovexattr fremovexattr
	mount umount mount_setattr move_mount fsmount pivot_root chroot mq_open mq_unlink`

// trace has the kernel note each connection and each opening for writing that our
// processes try, and each changing call. What it returns tells what was noted, until
// t ends.
func trace(t *testing.T) (touched func() touches) {
	t.Helper()
	const root = "/sys/kernel/tracing"
	// By O_WRONLY, O_RDWR, O_CREAT and O_TRUNC, and by the name of a thread, of which the
	// kernel keeps 15 bytes.
	const forWriting, ours = 0x243, `comm == "attestation_exp"`
	write := func(path, text string) {
		if err := os.WriteFile(filepath.Join(root, path), []byte(text), 0o600); err != nil {
			t.Fatalf("ask the kernel for a trace: %v", err)
		}
	}
	note := func(event, filter string) {
		write("events/"+event+"/filter", filter)
		write("events/"+event+"/enable", "1")
		t.Cleanup(func() { write("events/"+event+"/enable", "0") })
	}
	if _, err := os.Stat(filepath.Join(root, "trace")); err != nil {
		command(t, "mount", "-t", "tracefs", "tracefs", root)
	}
	write("kprobe_events", "p:ours/open do_sys_openat2 path=+0($arg2):ustring flags=+0($arg3):x64\n"+
		"p:ours/connect security_socket_connect address=+0($arg2):x8[64]\n")
	t.Cleanup(func() { write("kprobe_events", "") })
	note("ours/open", fmt.Sprintf("%s && flags & %d", ours, forWriting))
	note("ours/connect", ours)
	for _, call := range strings.Fields(changing) {
		note("syscalls/sys_enter_"+call, ours)
	}
	write("options/record-tgid", "1")
	write("trace", "")
	return func() touches {
		text, err := os.ReadFile(filepath.Join(root, "trace"))
		if err != nil {
			t.Fatal(err)
		}
		got, err := touchesIn(string(text))
		if err != nil {
			t.Fatalf("%v in the trace:\n%s", err, text)
		}
		return got
	}
}

// touches are the different things that processes touched, by process.
type touches map[int][]string

// A line of the trace has thread and process, and behind the time what happened:
//
//	attestation_exp-803   (  796) [000] .....   241.286955: open: (do_sys_openat2+0x0/0x170) path="/dev/tpmrm0" flags=0x88002
var (
	traceSize  = regexp.MustCompile(`(?m)^# entries-in-buffer/entries-written: (\d+)/(\d+) `)
	traceLine  = regexp.MustCompile(`^ *attestation_exp-\d+ +\( *(\d+)\) .*? \d+\.\d+: (.*)$`)
	opening    = regexp.MustCompile(`^open: .* path="(.*)" flags=`)
	connecting = regexp.MustCompile(`^connect: .* address=\{(.*)\}$`)
)

// touchesIn reads a trace, of which nothing may be lost.
func touchesIn(text string) (touches, error) {
	size := traceSize.FindStringSubmatch(text)
	if size == nil || size[1] != size[2] {
		return nil, fmt.Errorf("got sizes %q, want the same twice", size)
	}
	got := touches{}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		fields := traceLine.FindStringSubmatch(strings.TrimRight(line, "\n"))
		if fields == nil {
			return nil, fmt.Errorf("got a line that isn't understood: %s", line)
		}
		process, err := strconv.Atoi(fields[1])
		if err != nil {
			return nil, err
		}
		if what := touchOf(fields[2]); !slices.Contains(got[process], what) {
			got[process] = append(got[process], what)
		}
	}
	return got, nil
}

// touchOf is what an event says. A changing call stays as it is.
func touchOf(event string) string {
	if fields := opening.FindStringSubmatch(event); fields != nil {
		return "write " + fields[1]
	}
	if fields := connecting.FindStringSubmatch(event); fields != nil {
		var address []byte
		for text := range strings.SplitSeq(fields[1], ",") {
			b, err := strconv.ParseUint(text, 0, 8)
			if err != nil {
				return event
			}
			address = append(address, byte(b))
		}
		return "connect " + addressOf(address)
	}
	return event
}

// addressOf reads a struct sockaddr: two bytes of family, in the order of this host,
// which is little-endian; for IP then a port in network order.
func addressOf(b []byte) string {
	port := uint16(b[2])<<8 | uint16(b[3])
	switch b[0] {
	case 1: // AF_UNIX
		path, _, _ := bytes.Cut(b[2:], []byte{0})
		return string(path)
	case 2: // AF_INET
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[4:8])), port).String()
	case 10: // AF_INET6
		return netip.AddrPortFrom(netip.AddrFrom16([16]byte(b[8:24])), port).String()
	}
	return fmt.Sprintf("family %d", b[0])
}

// touchedOnlyWhatIsConfigured also holds that what every scrape does was noted.
func (h *host) touchedOnlyWhatIsConfigured(t *testing.T, got touches) {
	t.Helper()
	want := map[string][]string{
		exporter: {"connect /run/attestation_exporter/reader.sock", "connect /run/dbus/system_bus_socket", "connect " + h.endpoint},
		reader:   {"write /dev/tpmrm0"},
	}
	for process := range got {
		if _, ok := h.processes[process]; !ok {
			t.Errorf("process %d, which is of neither unit: got %q", process, got[process])
		}
	}
	for process, unit := range h.processes {
		if touched := slices.Sorted(slices.Values(got[process])); !slices.Equal(touched, want[unit]) {
			t.Errorf("process %d, %s: got %q, want %q", process, unit, touched, want[unit])
		}
	}
}
