package spire

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"

	"funlab.casa/attestation_exporter/failure"
	tower "funlab.casa/attestation_exporter/internal/tower/spire"
)

// later is a time at which the sockets of this test have settled.
func later() time.Time { return time.Now().Add(time.Hour) }

// A call is one reading's use of a line.
func call(t *testing.T, l *line, s socket) (*connection, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	conn, err := l.connect(ctx, s)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return conn, serving(ctx, conn)
}

// What listens at a path changes between two readings.
func TestLine(t *testing.T) {
	tests := []struct {
		name   string
		change func(t *testing.T, first *tower.Server, path string)
		kept   bool           // the connection
		want   failure.Reason // empty: an answer
	}{
		{"nothing", func(*testing.T, *tower.Server, string) {}, true, ""},
		{"gone", func(_ *testing.T, first *tower.Server, _ string) { first.Close() }, false, failure.Unreachable},
		{"the path is gone, and who listened lives", func(t *testing.T, _ *tower.Server, path string) {
			must(t, os.Remove(path))
		}, false, failure.Unreachable},
		{"restarted", func(t *testing.T, first *tower.Server, path string) {
			first.Close()
			serveAt(t, path)
		}, false, ""},
		{"another listens, and the first lives", func(t *testing.T, first *tower.Server, path string) {
			must(t, os.Rename(path, path+".old"))
			serveAt(t, path)
			// Whoever is asked by the old connection gets no answer.
			first.Hang(true)
		}, false, ""},
		{"other rights", func(t *testing.T, _ *tower.Server, path string) {
			must(t, os.Chmod(path, 0o700))
		}, false, ""},
		{"hangs", func(_ *testing.T, first *tower.Server, _ string) { first.Hang(true) }, true, failure.Timeout},
		{"killed in the call", func(_ *testing.T, first *tower.Server, _ string) {
			calls := first.Calls(grpc_health_v1.Health_Check_FullMethodName)
			first.Hang(true)
			go func() {
				for first.Calls(grpc_health_v1.Health_Check_FullMethodName) == calls {
					time.Sleep(time.Millisecond)
				}
				first.Close()
			}()
		}, true, failure.Unreachable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			first := newServer(t, newDomain(t))
			l, s := &line{now: later}, socket{path: first.Path, owners: own()}
			before, err := call(t, l, s)
			if err != nil {
				t.Fatal(err)
			}
			tt.change(t, first, s.path)
			after, err := call(t, l, s)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || failure.Of(err) != tt.want) {
				t.Errorf("got %v, want reason %q", err, tt.want)
			}
			if got := after == before; got != tt.kept {
				t.Errorf("got the same connection: %v, want %v", got, tt.kept)
			}
			if tt.want == "" {
				return
			}
			// What failed isn't used again, and nothing waits before the next try.
			first.Close()
			serveAt(t, s.path)
			if mended, err := call(t, l, s); err != nil || mended == before {
				t.Errorf("after a new start: got %v, the same connection: %v, want a new one", err, mended == before)
			}
		})
	}
}

// A server that is killed leaves its socket behind as it was.
func TestLineToALeftOver(t *testing.T) {
	l, s := &line{now: later}, socket{path: filepath.Join(t.TempDir(), "api.sock"), owners: own()}
	stop := serveOn(listenAt(t, s.path))
	_, err := call(t, l, s)
	must(t, err)
	stop()
	for range 2 {
		if _, err := call(t, l, s); err == nil || failure.Of(err) != failure.Unreachable {
			t.Errorf("got %v, want an unreachable error", err)
		}
	}
}

// A socket that somebody else holds open outlives the server, and the next one answers
// on it. The old connection is known to be closed.
func TestLineToAnInheritedSocket(t *testing.T) {
	l, s := &line{now: later}, socket{path: filepath.Join(t.TempDir(), "api.sock"), owners: own()}
	listener := listenAt(t, s.path)
	file, err := listener.File()
	must(t, err)
	inherited, err := net.FileListener(file)
	must(t, err)
	stop := serveOn(listener)
	before, err := call(t, l, s)
	must(t, err)
	stop()
	if !before.WaitForStateChange(t.Context(), connectivity.Ready) {
		t.Fatal("the connection stayed as it was")
	}
	defer serveOn(inherited)()
	if after, err := call(t, l, s); err != nil || after == before {
		t.Errorf("got %v, the same connection: %v, want another", err, after == before)
	}
}

// listenAt makes a socket that stays when it is closed.
func listenAt(t *testing.T, path string) *net.UnixListener {
	t.Helper()
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	must(t, err)
	listener.SetUnlinkOnClose(false)
	return listener
}

// serveOn answers that all is well until it is stopped.
func serveOn(listener net.Listener) (stop func()) {
	server := grpc.NewServer()
	grpc_health_v1.RegisterHealthServer(server, health.NewServer())
	go func() { _ = server.Serve(listener) }()
	return server.Stop
}

// After a failure a new connection is made, also where the old one would do.
func TestLineAfterAFailure(t *testing.T) {
	server := newServer(t, newDomain(t))
	l, s := &line{now: later}, socket{path: server.Path, owners: own()}
	before, err := call(t, l, s)
	must(t, err)
	server.Hang(true)
	if _, err := call(t, l, s); err == nil || failure.Of(err) != failure.Timeout {
		t.Errorf("got %v, want a timeout", err)
	}
	server.Hang(false)
	if after, err := call(t, l, s); err != nil || after == before {
		t.Errorf("got %v, the same connection: %v, want another", err, after == before)
	}
}

// The owner of the data directory decides whose process is believed, at each reading.
func TestLineOfAnotherOwner(t *testing.T) {
	path := filepath.Join(openDir(t), "api.sock")
	asStranger(t, func() { serveAt(t, path) })
	owner := uint32(stranger)
	if os.Geteuid() != 0 {
		owner = own()[0]
	}
	l := &line{now: later}
	if _, err := call(t, l, socket{path: path, owners: []uint32{owner}}); err != nil {
		t.Fatal(err)
	}
	_, err := call(t, l, socket{path: path, owners: []uint32{12345}})
	if err == nil || failure.Of(err) != failure.Permission {
		t.Errorf("got %v, want a permission error", err)
	}
}

// A socket that was just made could be replaced by one that looks the same.
func TestLineToANewSocket(t *testing.T) {
	server := newServer(t, newDomain(t))
	l, s := &line{}, socket{path: server.Path, owners: own()}
	before, err := call(t, l, s)
	if err != nil {
		t.Fatal(err)
	}
	if after, err := call(t, l, s); err != nil || after == before {
		t.Errorf("got %v, the same connection: %v, want another", err, after == before)
	}
}

// Two readings at a time have a connection each, and one of them is kept.
func TestLineInUse(t *testing.T) {
	server := newServer(t, newDomain(t))
	l, s := &line{now: later}, socket{path: server.Path, owners: own()}
	var open []*connection
	for range 2 {
		conn, err := l.connect(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		must(t, serving(t.Context(), conn))
		open = append(open, conn)
	}
	if open[0] == open[1] {
		t.Fatal("got one connection for two readings at a time")
	}
	for _, conn := range open {
		conn.Close()
	}
	if err := serving(t.Context(), open[0]); err == nil {
		t.Error("got an answer by the first connection, want it ended")
	}
	if kept, err := call(t, l, s); err != nil || kept != open[1] {
		t.Errorf("got %v, the second connection: %v, want it", err, kept == open[1])
	}
}

// serveAt starts one more server, for as long as the test runs.
func serveAt(t *testing.T, path string) {
	t.Helper()
	server, err := tower.NewServer(path, newDomain(t))
	if err != nil {
		t.Error(err)
		return
	}
	t.Cleanup(server.Close)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
