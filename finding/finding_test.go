package finding

import (
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"testing"
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
