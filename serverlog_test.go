package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/promslog"
)

func TestServerLog(t *testing.T) {
	tests := []struct {
		name, line string
		quiet      string // at the level info
		debug      string
	}{
		{
			"handshake", "http: TLS handshake error from 192.0.2.1:4: remote error: tls: bad certificate\n", "",
			`level=DEBUG msg="A client was in trouble" err="http: TLS handshake error from 192.0.2.1:4: remote error: tls: bad certificate"`,
		},
		{
			"bytes of a stranger's", "http: TLS handshake error from 192.0.2.1:4: \x1b[2J\nlevel=ERROR \"\n", "",
			`level=DEBUG msg="A client was in trouble" err="http: TLS handshake error from 192.0.2.1:4: \x1b[2J\nlevel=ERROR \""`,
		},
		{
			"too much of them", "http: " + strings.Repeat("x", 100_000) + "\n", "",
			`level=DEBUG msg="A client was in trouble" err="http: ` + strings.Repeat("x", maxServerLine-len("http: ")) + `"`,
		},
		{
			"no file left", "http: Accept error: accept: too many open files; retrying in 5ms\n",
			`level=ERROR msg="No connection can be accepted" err="http: Accept error: accept: too many open files; retrying in 5ms"`,
			`level=ERROR msg="No connection can be accepted" err="http: Accept error: accept: too many open files; retrying in 5ms"`,
		},
		{
			"panic", "http: panic serving 127.0.0.1:4: no\ngoroutine 1\n",
			`level=ERROR msg="Panic in serving a request" err="http: panic serving 127.0.0.1:4: no\ngoroutine 1"`,
			`level=ERROR msg="Panic in serving a request" err="http: panic serving 127.0.0.1:4: no\ngoroutine 1"`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for level, want := range map[string]string{"info": tt.quiet, "debug": tt.debug} {
				if got := serverLine(t, level, tt.line); got != want {
					t.Errorf("at %s: got %q\nwant %q", level, got, want)
				}
			}
		})
	}
}

// serverLine is what becomes of a line of net/http's, without time and source.
func serverLine(t *testing.T, level, line string) string {
	t.Helper()
	var out bytes.Buffer
	config := &promslog.Config{Writer: &out, Level: promslog.NewLevel()}
	if err := config.Level.Set(level); err != nil {
		t.Fatal(err)
	}
	newServerLog(promslog.New(config)).Print(line)
	got := strings.TrimSuffix(out.String(), "\n")
	if strings.Contains(got, "\n") {
		t.Errorf("got more than one line: %q", got)
	}
	if at := strings.Index(got, "level="); at >= 0 {
		before, after, _ := strings.Cut(got[at:], " source=")
		_, after, _ = strings.Cut(after, " ")
		return strings.TrimSpace(before + " " + after)
	}
	return got
}

// Whoever speaks no TLS to a TLS port leaves no line, in the log or beside it.
func TestStrangerLeavesNoLine(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := selfSigned(t, dir)
	config := filepath.Join(dir, "web.yml")
	writeFile(t, config, "tls_server_config:\n  cert_file: "+certFile+"\n  key_file: "+keyFile+"\n")
	address := freeAddress(t)
	for level, want := range map[string]bool{"info": false, "debug": true} {
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		var log bytes.Buffer
		go func() {
			ended <- run(ctx, []string{
				"--web.listen-address=" + address, "--web.config.file=" + config, "--log.level=" + level,
				"--collector.disable-defaults", "--collector.certificate",
			}, io.Discard, &log)
		}()
		knock(t, address)
		stop()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(log.String(), "TLS handshake error from 127.0.0.1"); got != want {
			t.Errorf("at %s: got a line %v, want %v:\n%s", level, got, want, log.String())
		}
	}
}

// knock sends to a TLS server what isn't TLS, as soon as it listens, and waits until
// the server has hung up.
func knock(t *testing.T, address string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err != nil {
			select {
			case <-tick.C:
				continue
			case <-ctx.Done():
				t.Fatal(err)
			}
		}
		defer conn.Close()
		if _, err := conn.Write([]byte("\x1b[2J not TLS\n")); err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, conn)
		return
	}
}
