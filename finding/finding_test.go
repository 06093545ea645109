package finding

import (
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

func TestAt(t *testing.T) {
	dir, err := os.MkdirTemp("", "finding")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "socket")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	for _, tt := range []struct {
		name, path string
		want       State
	}{
		{"a file", file, There},
		{"a directory", dir, There},
		{"a socket", socket, There},
		{"nothing", filepath.Join(dir, "none"), Absent},
		{"below a file", filepath.Join(file, "none"), Absent},
	} {
		want := Finding{What: "place", Place: tt.path, From: Flag, State: tt.want}
		if got := At("place", tt.path, Flag); got != want {
			t.Errorf("%s: got %+v, want %+v", tt.name, got, want)
		}
	}
}

// A right is asked for as reading would need it: root's tests look with another's
// eyes, for nothing is closed to root.
func TestAtWithoutRights(t *testing.T) {
	dir, err := os.MkdirTemp("", "finding")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	closed, searched := filepath.Join(dir, "closed"), filepath.Join(dir, "searched")
	file, socket := filepath.Join(searched, "file"), filepath.Join(searched, "socket")
	for _, folder := range []string{closed, searched} {
		if err := os.Mkdir(folder, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	for path, mode := range map[string]fs.FileMode{dir: 0o711, closed: 0, file: 0o333, socket: 0o444, searched: 0o111} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	defer os.Chmod(searched, 0o700)

	for _, tt := range []struct {
		name, path string
		want       State
	}{
		{"a file that may only be written", file, Closed},
		{"a socket that may only be read", socket, Closed},
		{"a directory that may only be searched", searched, There},
		{"a closed directory", closed, Closed},
		{"what is in it", filepath.Join(closed, "file"), Closed},
	} {
		if got := asNobody(t, func() State { return At("place", tt.path, Flag).State }); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

// asNobody calls look without root's rights. The thread that gave them up ends with
// its goroutine.
func asNobody(t *testing.T, look func() State) State {
	t.Helper()
	const nobody = 65534
	seen := make(chan State)
	go func() {
		runtime.LockOSThread()
		if os.Geteuid() == 0 {
			_, _ = unix.SetfsuidRetUid(nobody) // returns the former user, and no error
		}
		seen <- look()
	}()
	return <-seen
}

func TestMatching(t *testing.T) {
	for _, tt := range []struct {
		name    string
		matches int
		err     error
		want    State
	}{
		{"something", 2, nil, There},
		{"nothing", 0, nil, Absent},
		{"a closed directory", 0, &fs.PathError{Op: "open", Path: "/root", Err: fs.ErrPermission}, Closed},
		{"one of two directories is closed", 1, fs.ErrPermission, There},
	} {
		if got := Matching("file", "/*", Default, tt.matches, tt.err).State; got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestURL(t *testing.T) {
	for _, tt := range []struct{ name, address, want string }{
		{"plain", "https://verifier.example:8881/keylime", "https://verifier.example:8881/keylime"},
		{"user and query", "https://admin:secret@[::1]:8881/?token=secret#secret", "https://[::1]:8881/"},
		{"no URL", "https://admin:secret@[::1:8881", ""},
	} {
		if got, want := URL("url", tt.address, Flag), Named("url", tt.want, Flag); got != want {
			t.Errorf("%s: got %+v, want %+v", tt.name, got, want)
		}
	}
}
