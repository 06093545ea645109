package systemd

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"funlab.casa/attestation_exporter/failure"
)

// shortly is how long a reading may take that is meant to be cut short.
const shortly = 100 * time.Millisecond

// listenAs serves a Unix socket with conversation, and returns its bus address.
// Connections are closed when conversation returns.
func listenAs(t *testing.T, conversation func(net.Conn)) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "bus")
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("unix", filepath.Join(dir, "bus"))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() {
		_ = listener.Close()
		<-done
		_ = os.RemoveAll(dir)
	})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				conversation(conn)
			}()
		}
	}()
	return "unix:path=" + filepath.Join(dir, "bus")
}

// silent reads what it is told until the other side gives up.
func silent(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }

// welcoming lets anybody in and then calls talk, in place of a bus.
func welcoming(talk func(net.Conn)) func(net.Conn) {
	return func(conn net.Conn) {
		line := make([]byte, 256)
		for _, answer := range []string{"REJECTED EXTERNAL\r\n", "OK 0123456789abcdef0123456789abcdef\r\n"} {
			if _, err := conn.Read(line); err != nil {
				return
			}
			_, _ = io.WriteString(conn, answer)
		}
		// What is said before BEGIN belongs to the handshake still.
		if _, err := conn.Read(line); err != nil {
			return
		}
		talk(conn)
	}
}

// flood begins an answer of 96 MiB, which is less than D-Bus allows.
func flood(conn net.Conn) {
	header := []byte{'l', 2, 0, 1, 0, 0, 0, 6, 1, 0, 0, 0, 0, 0, 0, 0}
	if _, err := conn.Write(header); err != nil {
		return
	}
	for {
		if _, err := conn.Write(make([]byte, 1<<16)); err != nil {
			return
		}
	}
}

func TestReadFromABusThatIsNone(t *testing.T) {
	tests := []struct {
		name         string
		conversation func(net.Conn)
		want         failure.Reason
	}{
		{"says nothing", silent, failure.Timeout},
		{"hangs up", func(net.Conn) {}, failure.Unreachable},
		{"lets in and says nothing", welcoming(silent), failure.Timeout},
		{"lets in and hangs up", welcoming(func(net.Conn) {}), failure.Unreachable},
		{"lets in and doesn't end", welcoming(flood), failure.Malformed},
		{"lets nobody in", func(conn net.Conn) {
			line := make([]byte, 256)
			for {
				if _, err := conn.Read(line); err != nil {
					return
				}
				_, _ = io.WriteString(conn, "REJECTED\r\n")
			}
		}, failure.Auth},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newReader(t, Options{Address: listenAs(t, tt.conversation)})
			within := soon
			if tt.want == failure.Timeout {
				within = shortly
			}
			_, err := read(t, r, within)
			if err == nil {
				t.Fatal("got no error")
			}
			if got := failure.Of(err); got != tt.want {
				t.Errorf("reason of %v: got %s, want %s", err, got, tt.want)
			}
		})
	}
}

func TestReadWhileSystemdHangs(t *testing.T) {
	b := startBus(t)
	b.Set(waitingTimer("a.timer"), serviceOf("a.timer"))
	r := newReader(t, Options{Address: b.Address(), Expected: []string{"a.timer"}})
	mustRead(t, r)
	b.Hang()
	_, err := read(t, r, shortly)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v, want %v", err, context.DeadlineExceeded)
	}
	// Said once, and not again by each timer that couldn't be asked for.
	if got, want := err.Error(), "list the loaded timers: context deadline exceeded"; got != want {
		t.Errorf("got error %q, want %q", got, want)
	}
	b.Resume()
	if got, want := summary(mustRead(t, r)), "a="; got != want {
		t.Errorf("afterwards: got %q, want %q", got, want)
	}
}

func TestReadWhileTheBusDies(t *testing.T) {
	dir, err := os.MkdirTemp("", "bus")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	b := startBusIn(t, dir)
	r := newReader(t, Options{Address: b.Address(), Include: "a.timer"})
	mustRead(t, r)
	asked := b.Hang()
	result := make(chan error, 1)
	go func() {
		_, err := read(t, r, soon)
		result <- err
	}()
	<-asked
	b.StopDaemon()
	if err := <-result; err == nil || failure.Of(err) != failure.Unreachable {
		t.Errorf("in a call: got %v, want a reason %s", err, failure.Unreachable)
	}
	if _, err := read(t, r, soon); err == nil || failure.Of(err) != failure.Unreachable {
		t.Errorf("afterwards: got %v, want a reason %s", err, failure.Unreachable)
	}
	b = startBusIn(t, dir)
	b.Set(waitingTimer("a.timer"), serviceOf("a.timer"))
	if got, want := summary(mustRead(t, r)), "a="; got != want {
		t.Errorf("with a new daemon: got %q, want %q", got, want)
	}
}

func TestReadWaitsItsTurn(t *testing.T) {
	b := startBus(t)
	r := newReader(t, Options{Address: b.Address()})
	asked := b.Hang()
	first := make(chan error, 1)
	go func() {
		_, err := read(t, r, soon)
		first <- err
	}()
	<-asked
	if _, err := read(t, r, shortly); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("second reading: got %v, want %v", err, context.DeadlineExceeded)
	}
	b.Resume()
	if err := <-first; err != nil {
		t.Errorf("first reading: got %v, want it to be undisturbed", err)
	}
}

// TestReadLeavesNothingRunning counts goroutines after failing readings, which is
// where the two D-Bus libraries would leave theirs.
func TestReadLeavesNothingRunning(t *testing.T) {
	tests := []struct {
		name         string
		conversation func(net.Conn)
	}{
		{"silent", silent},
		{"hangs up", func(net.Conn) {}},
		{"silent after the welcome", welcoming(silent)},
		{"flood after the welcome", welcoming(flood)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newReader(t, Options{Address: listenAs(t, tt.conversation)})
			before := runtime.NumGoroutine()
			for range 100 {
				if _, err := read(t, r, 5*time.Millisecond); err == nil {
					t.Fatal("got no error")
				}
			}
			settle(t, before)
		})
	}
	t.Run("systemd hangs", func(t *testing.T) {
		b := startBus(t)
		r := newReader(t, Options{Address: b.Address()})
		before := runtime.NumGoroutine()
		b.Hang()
		for range 100 {
			if _, err := read(t, r, 5*time.Millisecond); err == nil {
				t.Fatal("got no error")
			}
		}
		b.Resume()
		settle(t, before)
	})
}

// settle waits for goroutines that are on their way out.
func settle(t *testing.T, want int) {
	t.Helper()
	deadline := time.After(soon)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for runtime.NumGoroutine() > want {
		select {
		case <-tick.C:
		case <-deadline:
			stacks := make([]byte, 1<<16)
			t.Fatalf("got %d goroutines, want %d:\n%s", runtime.NumGoroutine(), want, stacks[:runtime.Stack(stacks, true)])
		}
	}
}
