package spire

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"funlab.casa/attestation_exporter/failure"
	tower "funlab.casa/attestation_exporter/internal/tower/spire"
	serverapi "funlab.casa/attestation_exporter/spire/proto/server"
)

// stranger is a user that owns nothing here.
const stranger = 65534

// asStranger runs f as another user where the test runs as root, whom no permission
// stops. Only f's thread changes, and ends with it.
func asStranger(t *testing.T, f func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		f()
		return
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // Never unlocked: the thread must not be used again.
		_, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, stranger, stranger, stranger)
		if errno == 0 {
			f()
			done <- nil
			return
		}
		done <- errno
	}()
	if err := <-done; err != nil {
		t.Fatalf("become another user: %v", err)
	}
}

// own is this test as the expected owner of a socket.
func own() []uint32 { return []uint32{uint32(os.Geteuid())} }

// openDir is a directory into which a stranger may look, too.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "spire")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestConnectErrors(t *testing.T) {
	dir := openDir(t)
	leftOver := filepath.Join(dir, "left-over.sock")
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: leftOver})
	if err != nil {
		t.Fatal(err)
	}
	listener.SetUnlinkOnClose(false)
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(leftOver, 0o777); err != nil {
		t.Fatal(err)
	}
	closed := filepath.Join(dir, "closed.sock")
	stop, err := tower.ServeRaw(closed, func(net.Conn) {})
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	if err := os.Chmod(closed, 0); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		path string
		want failure.Reason
	}{
		{"absent", filepath.Join(dir, "absent.sock"), failure.Unreachable},
		{"left over", leftOver, failure.Unreachable},
		{"forbidden", closed, failure.Permission},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			asStranger(t, func() {
				_, err := socket{path: tt.path}.connect(t.Context())
				if err == nil || failure.Of(err) != tt.want || !strings.Contains(err.Error(), tt.path) {
					t.Errorf("got %v (%s), want %s and the path", err, failure.Of(err), tt.want)
				}
			})
		})
	}
}

// A socket below /tmp may have been put there by anybody.
func TestConnectRefusesSquatter(t *testing.T) {
	path := filepath.Join(openDir(t), "api.sock")
	var stop func()
	asStranger(t, func() {
		var err error
		if stop, err = tower.ServeRaw(path, func(net.Conn) {}); err != nil {
			t.Error(err)
		}
	})
	if stop == nil {
		t.Fatal("no socket")
	}
	defer stop()
	_, err := socket{path: path, owners: []uint32{12345}}.connect(t.Context())
	if err == nil || failure.Of(err) != failure.Permission {
		t.Errorf("got %v, want a permission error", err)
	}
	owner := uint32(stranger)
	if os.Geteuid() != 0 {
		owner = own()[0]
	}
	conn, err := socket{path: path, owners: []uint32{owner}}.connect(t.Context())
	if err != nil {
		t.Fatalf("got %v from the expected user's socket, want none", err)
	}
	conn.Close()
}

// http2Preface is the SETTINGS frame with which a server begins.
const http2Preface = "\x00\x00\x00\x04\x00\x00\x00\x00\x00"

func TestServingBadPeers(t *testing.T) {
	tests := []struct {
		name  string
		serve func(net.Conn)
		want  failure.Reason
	}{
		{"says nothing", func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }, failure.Timeout},
		{"closes at once", func(net.Conn) {}, failure.Unreachable},
		{"closes half way", func(c net.Conn) { _, _ = io.WriteString(c, http2Preface[:5]) }, failure.Unreachable},
		{"closes after the preface", func(c net.Conn) { _, _ = io.WriteString(c, http2Preface) }, failure.Unreachable},
		{"speaks HTTP/1", func(c net.Conn) { speakHTTP1(c, 64) }, failure.Malformed},
		{"speaks HTTP/1 byte by byte", func(c net.Conn) { speakHTTP1(c, 1) }, failure.Malformed},
		{"sends without end", func(c net.Conn) {
			_, _ = io.WriteString(c, http2Preface)
			block := make([]byte, 1<<20)
			for range 1 << 10 { // 1 GB, or what the reader takes.
				if _, err := c.Write(block); err != nil {
					return
				}
			}
		}, failure.Unreachable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "s")
			stop, err := tower.ServeRaw(path, tt.serve)
			if err != nil {
				t.Fatal(err)
			}
			defer stop()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			conn, err := socket{path: path, owners: own()}.connect(ctx)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			err = serving(ctx, conn)
			if err == nil || failure.Of(err) != tt.want {
				t.Errorf("got %v (%s), want %s", err, failure.Of(err), tt.want)
			}
		})
	}
}

// speakHTTP1 answers as a web server does, size bytes at a time.
func speakHTTP1(c net.Conn, size int) {
	_, _ = c.Read(make([]byte, 1024))
	for answer := []byte("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"); len(answer) > 0; {
		n, err := c.Write(answer[:min(size, len(answer))])
		if err != nil {
			return
		}
		answer = answer[n:]
	}
	_, _ = io.Copy(io.Discard, c)
}

func TestServing(t *testing.T) {
	health := func(s grpc_health_v1.HealthCheckResponse_ServingStatus) tower.Answer {
		return tower.Answer{Message: &grpc_health_v1.HealthCheckResponse{Status: s}}
	}
	tests := []struct {
		name   string
		answer tower.Answer
		want   failure.Reason // empty: serving
	}{
		{"serving", health(grpc_health_v1.HealthCheckResponse_SERVING), ""},
		{"not serving", health(grpc_health_v1.HealthCheckResponse_NOT_SERVING), failure.Unreachable},
		{"a status of the future", health(77), failure.Unreachable},
		{"unimplemented", tower.Answer{Err: status.Error(codes.Unimplemented, "unknown service grpc.health.v1.Health")}, failure.Malformed},
		{"refused", tower.Answer{Err: status.Error(codes.PermissionDenied, "no")}, failure.Auth},
	}
	server := newServer(t, newDomain(t))
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server.Set(grpc_health_v1.Health_Check_FullMethodName, tt.answer)
			conn, err := socket{path: server.Path, owners: own()}.connect(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			err = serving(t.Context(), conn)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || failure.Of(err) != tt.want) {
				t.Errorf("got %v, want reason %q", err, tt.want)
			}
		})
	}
}

// An answer over the limit is refused by its announced length.
func TestAnswerTooLarge(t *testing.T) {
	server := newServer(t, newDomain(t))
	server.Set(serverapi.Bundle_GetBundle_FullMethodName, tower.Answer{Message: &serverapi.Bundle{
		X509Authorities: []*serverapi.X509Certificate{{Asn1: make([]byte, maxMessage)}},
	}})
	conn, err := socket{path: server.Path, owners: own()}.connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var reading ServerReading
	if err := readBundle(t.Context(), conn, &reading); err == nil || failure.Of(err) != failure.Malformed {
		t.Errorf("got %v, want a malformed error", err)
	}
}

func TestConnectEndsWithContext(t *testing.T) {
	server := newServer(t, newDomain(t))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (socket{path: server.Path, owners: own()}).connect(ctx); !errors.Is(err, context.Canceled) && failure.Of(err) != failure.Timeout {
		t.Errorf("got %v, want the context's error", err)
	}
}
