package reader_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"funlab.casa/attestation_exporter/boot"
	"funlab.casa/attestation_exporter/certs"
	"funlab.casa/attestation_exporter/failure"
	"funlab.casa/attestation_exporter/ima"
	"funlab.casa/attestation_exporter/keylime"
	"funlab.casa/attestation_exporter/luks"
	"funlab.casa/attestation_exporter/reader"
	"funlab.casa/attestation_exporter/spire"
	"funlab.casa/attestation_exporter/tpm"
)

var errAbsent = errors.New("not here")

const version = "1.2.3"

// serve starts a server for this user and returns a client of the same version.
func serve(t testing.TB, s reader.Server) reader.Client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "reader.sock")
	listener, err := reader.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	if s.Version == "" {
		s.Version = version
	}
	if s.Allowed == nil {
		s.Allowed = []uint32{uint32(os.Getuid())}
	}
	if s.Deadline == 0 {
		s.Deadline = reader.DefaultDeadline
	}
	s.Logger = slog.New(slog.DiscardHandler)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, listener) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return reader.Client{Socket: path, Version: version}
}

// one makes a server of one question.
func one[R any](read func(context.Context) (R, error)) reader.Server {
	return reader.Server{Questions: []*reader.Question{reader.NewQuestion("q", errAbsent, read)}}
}

// survives sends a reading through the socket.
func survives[R any](t *testing.T, name string, want R) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		c := serve(t, one(func(context.Context) (R, error) { return want, nil }))
		got, err := reader.Ask[R](c, "q", errAbsent)(t.Context())
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, error %v, want %+v", got, err, want)
		}
	})
}

func TestReadingsSurvive(t *testing.T) {
	updates, forecast := uint32(1050), false
	certificate := certs.Certificate{
		NotBefore: time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC), NotAfter: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
		Subject: `CN=a\,b`, Issuer: "CN=\uFFFD",
	}
	identity := spire.Identity{ID: "spiffe://a.example/spire/agent/keylime/x", TrustDomain: "a.example", AttestationType: "keylime", KeylimeAgent: "x"}
	chip := tpm.Reading{
		Source: tpm.FromDevice, Boot: "5.0", PCRUpdates: &updates,
		PCRs:     []tpm.PCR{{Bank: tpm.SHA256, Index: 7, Digest: bytes.Repeat([]byte{7}, 32)}},
		Clock:    &tpm.Clock{Running: 90 * time.Second, Resets: 5, Safe: true},
		SelfTest: tpm.SelfTestPassed,
	}
	survives(t, "tpm", chip)
	booted := boot.Reading{
		Log:        &boot.Log{Events: 58, Matches: []tpm.LogMatch{{Bank: tpm.SHA1, PCR: 7, Matches: true}}},
		SecureBoot: &boot.SecureBoot{Source: boot.FromLog, Enabled: true},
		Files:      []boot.File{{Path: "/boot/vmlinuz", PCR: 4}},
		Forecast:   &forecast,
		IMA:        &ima.Reading{Measurements: 1 << 62},
	}
	survives(t, "boot", booted)
	files := certs.Reading{
		Loads:    []certs.Load{{Kind: certs.KindFile, Name: "/a.pem", Certificate: &certificate, Failed: certs.Malformed}},
		Verdicts: []certs.Verdict{{Kind: certs.KindFile, Name: "/a.pem", Authority: "/ca.pem", Valid: true}},
	}
	survives(t, "certificate", files)
	bundles := certs.BundleReading{At: certificate.NotBefore, Bundles: []certs.Bundle{{
		Name: "/b.pem", TrustDomain: "a.example", Malformed: 1, Modified: certificate.NotBefore,
		Authorities: []certs.Authority{{Certificate: certificate, Key: "ab", Tainted: true}},
	}}}
	survives(t, "trust bundle", bundles)
	agent := spire.AgentReading{Up: true, Identity: &identity, SVID: &certificate, SyncVisible: true, LastSync: certificate.NotBefore}
	survives(t, "SPIRE agent", agent)
	entries := 0
	server := spire.ServerReading{
		Up: true, TrustDomain: "a.example", Entries: &entries, AgentLifetime: time.Hour,
		Agents:      []spire.ServerAgent{{Identity: identity, NotAfter: certificate.NotAfter, CanReattest: true}},
		Authorities: []spire.Authority{{Type: "x509", State: "active", NotAfter: certificate.NotAfter}},
	}
	survives(t, "SPIRE server", server)
	matches := false
	plugins := []spire.Pin{{Plugin: "NodeAttestor keylime", Path: "/p", Pinned: true, Matches: &matches}}
	survives(t, "SPIRE plugins", plugins)
	verifier := keylime.VerifierSettings{URL: url.URL{Scheme: "https", Host: "a.example:8881"}, ID: "default", QuoteInterval: 2 * time.Second}
	survives(t, "Keylime's verifier", verifier)
	disks := luks.Reading{Devices: []luks.Device{{
		Path: "/dev/vda2", Format: luks.LUKS2, Readable: true, Keyslots: luks.Keyslots{TPM: 1, Other: 1},
		Bindings: []luks.Binding{{
			Token: "0", Type: luks.Clevis, Bank: "sha256", PCRs: "7", Verdict: luks.Satisfied,
			StandsOn: []luks.PCR{{Bank: tpm.SHA256, Index: 7}},
		}},
	}}}
	survives(t, "luks", disks)
}

func TestErrors(t *testing.T) {
	tests := []struct {
		name   string
		err    error
		reason failure.Reason
		text   string
	}{
		{"part and error", failure.Errorf(failure.Malformed, "half of it"), failure.Malformed, "half of it"},
		{"permission", &os.PathError{Op: "open", Path: "/x", Err: os.ErrPermission}, failure.Permission, "open /x: permission denied"},
		{"several", errors.Join(errors.New("a"), errors.New("b")), failure.Internal, "a; b"},
		{"long", errors.New(strings.Repeat("é", 2000)), failure.Internal, strings.Repeat("é", 512) + "…"},
		{"not UTF-8", errors.New("a\xff"), failure.Internal, "a\uFFFD"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := serve(t, one(func(context.Context) (int, error) { return 7, tt.err }))
			got, err := reader.Ask[int](c, "q", errAbsent)(t.Context())
			if got != 7 || err == nil || failure.Of(err) != tt.reason || err.Error() != tt.text {
				t.Errorf("got %d, error %v, want 7, %s: %s", got, err, tt.reason, tt.text)
			}
		})
	}
	t.Run("absent", func(t *testing.T) {
		c := serve(t, one(func(context.Context) (int, error) { return 0, fmt.Errorf("look: %w", errAbsent) }))
		if _, err := reader.Ask[int](c, "q", errAbsent)(t.Context()); !errors.Is(err, errAbsent) {
			t.Errorf("error: got %v, want %v", err, errAbsent)
		}
	})
	t.Run("panic", func(t *testing.T) {
		calls := 0
		c := serve(t, one(func(context.Context) (int, error) {
			if calls++; calls == 1 {
				panic("surprise")
			}
			return 7, nil
		}))
		if _, err := reader.Ask[int](c, "q", errAbsent)(t.Context()); failure.Of(err) != failure.Internal {
			t.Errorf("error: got %v, want an internal one", err)
		}
		if got, err := reader.Ask[int](c, "q", errAbsent)(t.Context()); got != 7 || err != nil {
			t.Errorf("after the panic: got %d, error %v, want 7", got, err)
		}
	})
	t.Run("no such question", func(t *testing.T) {
		c := serve(t, one(func(context.Context) (int, error) { return 7, nil }))
		if _, err := reader.Ask[int](c, "../q", errAbsent)(t.Context()); failure.Of(err) != failure.Permission {
			t.Errorf("error: got %v, want a refusal", err)
		}
	})
	t.Run("answer too long", func(t *testing.T) {
		c := serve(t, one(func(context.Context) (string, error) { return strings.Repeat("a", 33<<20), nil }))
		_, err := reader.Ask[string](c, "q", errAbsent)(t.Context())
		if failure.Of(err) != failure.Malformed || !strings.Contains(err.Error(), "more than 33554432 bytes") {
			t.Errorf("error: got %v, want the bound", err)
		}
	})
	t.Run("answer that JSON can't hold", func(t *testing.T) {
		c := serve(t, one(func(context.Context) (time.Time, error) { return time.Unix(1<<40, 0), nil }))
		if _, err := reader.Ask[time.Time](c, "q", errAbsent)(t.Context()); failure.Of(err) != failure.Internal {
			t.Errorf("error: got %v, want an internal one", err)
		}
	})
	t.Run("no items", func(t *testing.T) {
		c := serve(t, one(func(context.Context) ([]int, error) { return nil, nil }))
		if got, err := reader.Ask[[]int](c, "q", errAbsent)(t.Context()); got != nil || err != nil {
			t.Errorf("got %v, error %v, want nothing", got, err)
		}
	})
	t.Run("reader gone", func(t *testing.T) {
		c := reader.Client{Socket: filepath.Join(t.TempDir(), "nothing"), Version: version}
		if _, err := reader.Ask[int](c, "q", errAbsent)(t.Context()); failure.Of(err) != failure.Unreachable || c.Present() {
			t.Errorf("present %t, error %v, want an unreachable reader", c.Present(), err)
		}
	})
}

func TestGreet(t *testing.T) {
	s := reader.Server{}
	c := serve(t, s)
	if err := c.Greet(t.Context()); err != nil {
		t.Errorf("got %v, want no error", err)
	}
	s.Allowed = []uint32{uint32(os.Getuid()) + 1}
	if err := serve(t, s).Greet(t.Context()); failure.Of(err) != failure.Permission {
		t.Errorf("a stranger: got %v, want a refusal", err)
	}
	if err := (reader.Client{Socket: filepath.Join(t.TempDir(), "nothing")}).Greet(t.Context()); !errors.Is(err, reader.ErrAbsent) {
		t.Errorf("no socket: got %v, want %v", err, reader.ErrAbsent)
	}
}

func TestVersionMismatch(t *testing.T) {
	s := one(func(context.Context) (int, error) { return 7, nil })
	s.Version = "1.2.4"
	_, err := reader.Ask[int](serve(t, s), "q", errAbsent)(t.Context())
	want := `ask the reader for q: it is version "1.2.4" and the exporter is "1.2.3": restart the one that is older`
	if err == nil || err.Error() != want {
		t.Errorf("error: got %v, want %s", err, want)
	}
}

func TestStrangerRefused(t *testing.T) {
	s := one(func(context.Context) (int, error) { return 7, nil })
	s.Allowed = []uint32{uint32(os.Getuid()) + 1}
	got, err := reader.Ask[int](serve(t, s), "q", errAbsent)(t.Context())
	if got != 0 || failure.Of(err) != failure.Permission {
		t.Errorf("got %d, error %v, want nothing, and a refusal", got, err)
	}
}

// TestOneCallerAtATime has two callers of one question, and one of another.
func TestOneCallerAtATime(t *testing.T) {
	entered, leave := make(chan struct{}, 2), make(chan struct{})
	s := reader.Server{Questions: []*reader.Question{
		reader.NewQuestion("slow", errAbsent, func(context.Context) (int, error) {
			entered <- struct{}{}
			<-leave
			return 7, nil
		}),
		reader.NewQuestion("quick", errAbsent, func(context.Context) (int, error) { return 8, nil }),
	}}
	c := serve(t, s)
	results := make(chan error, 2)
	for range 2 {
		go func() {
			_, err := reader.Ask[int](c, "slow", errAbsent)(context.Background())
			results <- err
		}()
	}
	<-entered
	if got, err := reader.Ask[int](c, "quick", errAbsent)(t.Context()); got != 8 || err != nil {
		t.Errorf("another question: got %d, error %v, want 8", got, err)
	}
	select {
	case <-entered:
		t.Error("two callers read at once")
	default:
	}
	close(leave)
	for range 2 {
		if err := <-results; err != nil {
			t.Errorf("caller: got error %v, want none", err)
		}
	}
}

func TestDeadlines(t *testing.T) {
	t.Run("of the server", func(t *testing.T) {
		s := one(func(ctx context.Context) (int, error) { <-ctx.Done(); return 0, ctx.Err() })
		s.Deadline = time.Millisecond
		if _, err := reader.Ask[int](serve(t, s), "q", errAbsent)(t.Context()); failure.Of(err) != failure.Timeout {
			t.Errorf("error: got %v, want a timeout", err)
		}
	})
	t.Run("of the caller", func(t *testing.T) {
		cancelled := make(chan struct{})
		c := serve(t, one(func(ctx context.Context) (int, error) {
			<-ctx.Done()
			close(cancelled)
			return 0, ctx.Err()
		}))
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		if _, err := reader.Ask[int](c, "q", errAbsent)(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error: got %v, want the deadline", err)
		}
		<-cancelled // or the test never ends: the reading must hear that its caller is gone
	})
	t.Run("a reading that can't be cancelled", func(t *testing.T) {
		leave := make(chan struct{})
		s := one(func(context.Context) (int, error) { <-leave; return 7, nil })
		s.Deadline = 20 * time.Millisecond
		c := serve(t, s)
		for range 2 {
			if _, err := reader.Ask[int](c, "q", errAbsent)(t.Context()); failure.Of(err) != failure.Timeout {
				t.Errorf("error: got %v, want a timeout", err)
			}
		}
		close(leave)
	})
}

// TestHostileCaller sends what no client of ours would, and looks whether the
// server goes on.
func TestHostileCaller(t *testing.T) {
	c := serve(t, one(func(context.Context) (int, error) { return 7, nil }))
	for name, sent := range map[string]string{
		"nothing":   "",
		"no JSON":   "GET / HTTP/1.1\r\n\r\n",
		"too long":  `{"question":"` + strings.Repeat("q", 100_000),
		"no line":   `{"version":"1.2.3","question":"q"}`,
		"deep JSON": strings.Repeat("[", 400) + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: c.Socket, Net: "unix"})
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_, _ = io.WriteString(conn, sent) // the server may hang up first
			_ = conn.CloseWrite()
			content, _ := io.ReadAll(conn) // an answer that is cut off is judged below
			var got struct{ Failure *json.RawMessage }
			if len(content) > 0 && (json.Unmarshal(content, &got) != nil || got.Failure == nil) {
				t.Errorf("answer: got %s, want a failure", content)
			}
			if got, err := reader.Ask[int](c, "q", errAbsent)(t.Context()); got != 7 || err != nil {
				t.Errorf("afterwards: got %d, error %v, want 7", got, err)
			}
		})
	}
}

// answerWith is a server that says the same to everybody.
func answerWith(t *testing.T, content func() io.Reader) reader.Client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "reader.sock")
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = bufio.NewReader(conn).ReadString('\n')
			_, _ = io.Copy(conn, content()) // the client may hang up first
			_ = conn.Close()
		}
	}()
	return reader.Client{Socket: path, Version: version}
}

func TestHostileAnswer(t *testing.T) {
	tests := []struct {
		name    string
		content io.Reader
		reason  failure.Reason
	}{
		{"nothing", strings.NewReader(""), failure.Unreachable},
		{"no JSON", strings.NewReader("hello"), failure.Malformed},
		{"half", strings.NewReader(`{"version":"1.2.3","reading":{"Devices":[`), failure.Malformed},
		{"no version", strings.NewReader(`{"reading":{}}`), failure.Malformed},
		{"another version in another shape", strings.NewReader(`{"version":"1.2.4","reading":"old"}`), failure.Malformed},
		{"another shape", strings.NewReader(`{"version":"1.2.3","reading":{"Devices":"all"}}`), failure.Malformed},
		{"a reason that is none", strings.NewReader(`{"version":"1.2.3","failure":{"reason":"x{y=\"z\"}","text":"t"}}`), failure.Internal},
		{"endless", endless{}, failure.Malformed},
		{"too many values", strings.NewReader(`{"version":"1.2.3","reading":{"Devices":[{}` + strings.Repeat(",{}", 1<<20) + `]}}`), failure.Malformed},
		{"deep", io.MultiReader(strings.NewReader(`{"version":"1.2.3","reading":`), strings.NewReader(strings.Repeat("[", 1<<20))), failure.Malformed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := answerWith(t, func() io.Reader { return tt.content })
			got, err := reader.Ask[luks.Reading](c, "luks", luks.ErrAbsent)(t.Context())
			if err == nil || failure.Of(err) != tt.reason || got.Devices != nil {
				t.Errorf("got %+v, error %v, want nothing, and reason %s", got, err, tt.reason)
			}
		})
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestListen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "reader.sock")
	first, err := reader.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("mode: got %v, error %v, want 0660", info.Mode(), err)
	}
	if _, err := reader.Listen(path); err == nil {
		t.Error("second reader: got no error, want one")
	}
	first.SetUnlinkOnClose(false) // as if the process had been killed
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := reader.Listen(path)
	if err != nil {
		t.Fatalf("after a killed reader: got error %v, want none", err)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`{"version":"1.2.3","reading":{"Devices":[{"Path":"/dev/vda2","Bindings":[{"StandsOn":[{"Bank":"sha256","Index":7}]}]}]}}`))
	f.Add([]byte(`{"version":"1.2.3","absent":true}`))
	f.Add([]byte(`{"version":"1.2.3","failure":{"reason":"timeout","text":"late"}}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		c := answerWith(t, func() io.Reader { return bytes.NewReader(content) })
		if _, err := reader.Ask[luks.Reading](c, "luks", luks.ErrAbsent)(t.Context()); err != nil {
			return
		}
	})
}
