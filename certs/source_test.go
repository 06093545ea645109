package certs

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"funlab.casa/attestation_exporter/failure"
	"funlab.casa/attestation_exporter/finding"
)

// newTestSource trusts files at once, as it would after two seconds.
func newTestSource(t testing.TB, config Config) *Source {
	t.Helper()
	s, err := NewSource(slog.New(slog.DiscardHandler), config)
	if err != nil {
		t.Fatal(err)
	}
	s.cache.Now = func() time.Time { return time.Now().Add(time.Hour) }
	return s
}

// lines shows a reading in short, with dir left out of paths.
func lines(r Reading, dir string) []string {
	var out []string
	for _, l := range r.Loads {
		line := l.Kind + " " + l.Name
		if l.Certificate != nil {
			line += " " + l.Certificate.Subject
		}
		if l.Failed != "" {
			line += " failed " + string(l.Failed)
		}
		out = append(out, line)
	}
	for _, v := range r.Verdicts {
		out = append(out, fmt.Sprintf("%s %s by %s %v", v.Kind, v.Name, v.Authority, v.Valid))
	}
	for i := range out {
		out[i] = strings.ReplaceAll(out[i], dir+"/", "")
	}
	return out
}

func expect(t *testing.T, s *Source, dir string, want ...string) {
	t.Helper()
	reading, err := s.Read(t.Context())
	if got := lines(reading, dir); !slices.Equal(got, want) || err != nil {
		t.Errorf("Read: got %q (%v)\nwant %q", got, err, want)
	}
}

func TestSourceFiles(t *testing.T) {
	p := newPKI(t)
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	write(t, in("leaf.crt"), append(keyPEM(t, p.leaf), pemOf(p.leaf, p.intermediate)...))
	write(t, in("partly.crt"), append(pemOf(p.leaf), block("CERTIFICATE", []byte("no"))...))
	write(t, in("key.pem"), keyPEM(t, p.leaf))
	write(t, in("many/a.crt"), pemOf(p.root))
	write(t, in("many/b.crt"), []byte("nonsense"))
	write(t, in("many/c.txt"), []byte("not asked for"))
	write(t, in("many/\xff.crt"), pemOf(p.root))
	write(t, in("many/\xfe.crt"), pemOf(p.leaf))
	if err := errors.Join(os.Mkdir(in("many/dir.crt"), 0o755), os.Symlink("nowhere", in("many/link.crt")), os.Symlink("nowhere", in("link"))); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		files []File
		want  []string
		err   error
	}{
		{"one", []File{{Path: in("leaf.crt")}}, []string{"file leaf.crt CN=leaf"}, nil},
		{"named twice", []File{{Path: in("leaf.crt")}, {Path: in("./leaf.crt")}, {Path: in("l*.crt")}}, []string{"file leaf.crt CN=leaf"}, nil},
		{"a part malformed", []File{{Path: in("partly.crt")}}, []string{"file partly.crt CN=leaf failed malformed"}, nil},
		{"no certificate", []File{{Path: in("key.pem")}}, []string{"file key.pem failed empty"}, nil},
		{"pattern", []File{{Path: in("many/*.crt")}}, []string{
			`file many/\xfe.crt CN=leaf`,
			`file many/\xff.crt CN=root`,
			"file many/a.crt CN=root",
			"file many/b.crt failed malformed",
			"file many/dir.crt failed not_regular",
			"file many/link.crt failed not_found",
		}, nil},
		{"given and absent", []File{{Path: in("absent.crt")}}, []string{"file absent.crt failed not_found"}, nil},
		{"default and absent", []File{{Path: in("absent.crt"), Optional: true}}, nil, ErrAbsent},
		{"default that links to nothing", []File{{Path: in("link"), Optional: true}}, []string{"file link failed not_found"}, nil},
		{"pattern that nothing matches", []File{{Path: in("absent*.crt")}}, nil, ErrAbsent},
		{"default and given", []File{{Path: in("absent.crt"), Optional: true}, {Path: in("absent.crt")}}, []string{"file absent.crt failed not_found"}, nil},
		{"nothing", nil, nil, ErrAbsent},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			reading, err := newTestSource(t, Config{Files: tt.files}).Read(t.Context())
			if got := lines(reading, dir); !slices.Equal(got, tt.want) || !errors.Is(err, tt.err) {
				t.Errorf("Read: got %q (%v)\nwant %q (%v)", got, err, tt.want, tt.err)
			}
		})
	}
}

func TestSourceVanishing(t *testing.T) {
	p := newPKI(t)
	dir := t.TempDir()
	literal, listed := write(t, filepath.Join(dir, "literal.crt"), pemOf(p.leaf)), write(t, filepath.Join(dir, "listed.pem"), pemOf(p.root))
	s := newTestSource(t, Config{Files: []File{{Path: literal, Optional: true}, {Path: filepath.Join(dir, "*.pem"), Optional: true}}})
	expect(t, s, dir, "file listed.pem CN=root", "file literal.crt CN=leaf")
	if err := errors.Join(os.Remove(literal), os.Remove(listed)); err != nil {
		t.Fatal(err)
	}
	expect(t, s, dir, "file listed.pem failed not_found", "file literal.crt failed not_found")
	s.cache.Forget(func(path string) bool { t.Errorf("cache: got %s in it, want nothing", path); return true })
	write(t, literal, pemOf(p.intermediate))
	expect(t, s, dir, "file listed.pem failed not_found", "file literal.crt CN=intermediate")
}

// What others name is read as it is called, may be absent, and is missed once it was
// there: until they name something else.
func TestSourceNamedByOthers(t *testing.T) {
	p := newPKI(t)
	dir := t.TempDir()
	first, second := write(t, filepath.Join(dir, "first[1].crt"), pemOf(p.leaf)), filepath.Join(dir, "second.crt")
	var named []File
	var failed error
	s := newTestSource(t, Config{
		Files: []File{{Path: second, Optional: true}},
		Named: func(context.Context) ([]File, error) { return slices.Clone(named), failed },
	})
	if _, err := s.Read(t.Context()); !errors.Is(err, ErrAbsent) {
		t.Errorf("nothing named: got %v, want %v", err, ErrAbsent)
	}
	named = []File{{Path: first, Optional: true, From: "agent.conf"}, {Path: second, Optional: true, From: "agent.conf"}}
	expect(t, s, dir, "file first[1].crt CN=leaf")

	failed = failure.Errorf(failure.Malformed, "agent.conf:1: nonsense")
	for i := range 3 {
		named = []File{{Path: fmt.Sprintf("%s/none%d", dir, i), Optional: true}}
		reading, err := s.Read(t.Context())
		if got, want := lines(reading, dir), []string{"file first[1].crt CN=leaf"}; !slices.Equal(got, want) || !errors.Is(err, failed) {
			t.Errorf("configuration unread: got %q, %v, want %q and %v", got, err, want, failed)
		}
	}
	if got := len(s.others); got != 2 {
		t.Errorf("configuration unread, always with another name: got %d names kept, want that of the file and the last", got)
	}
	if err := os.Remove(first); err != nil {
		t.Fatal(err)
	}
	named, failed = []File{{Path: first, Optional: true}}, nil
	expect(t, s, dir, "file first[1].crt failed not_found")
	write(t, second, pemOf(p.root))
	named = []File{{Path: second, Optional: true}}
	expect(t, s, dir, "file second.crt CN=root")
}

// A place is told once, with who has the last word on it.
func TestSourceFindings(t *testing.T) {
	const dir = "/nonexistent/"
	unread := errors.New("agent.conf:1: nonsense")
	tests := []struct {
		name   string
		config Config
		want   []string
	}{
		{"a chain of a file", Config{
			Files:  []File{{Path: dir + "a", Optional: true}},
			Chains: []Chain{{File: dir + "a", CAFile: dir + "ca", Optional: true}, {File: dir + "b", CAFile: dir + "ca", Optional: true}},
		}, []string{"file a default", "chain ca default", "chain b default"}},
		{"a default that a configuration names", Config{
			Files:  []File{{Path: dir + "a", Optional: true}},
			Chains: []Chain{{File: dir + "a", CAFile: dir + "ca", Optional: true}},
			Named: func(context.Context) ([]File, error) {
				return []File{{Path: dir + "a", From: "agent.conf"}, {Path: dir + "ca", From: "agent.conf"}, {Path: dir + "c", From: finding.Default}}, unread
			},
		}, []string{"named a agent.conf", "named ca agent.conf", "named c default"}},
		{"the user's that a configuration names", Config{
			Files:  []File{{Path: dir + "a"}},
			Chains: []Chain{{File: dir + "b", CAFile: dir + "c"}},
			Named: func(context.Context) ([]File, error) {
				return []File{{Path: dir + "a", From: "agent.conf"}, {Path: dir + "b", From: "agent.conf"}}, unread
			},
		}, []string{"file a flag", "chain b flag", "chain c flag"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			found, err := newTestSource(t, tt.config).Findings(t.Context())
			var got []string
			for _, f := range found {
				got = append(got, f.What+" "+strings.TrimPrefix(f.Place, dir)+" "+f.From)
			}
			if !slices.Equal(got, tt.want) || (tt.config.Named != nil) != errors.Is(err, unread) {
				t.Errorf("got %q, %v, want %q", got, err, tt.want)
			}
		})
	}
}

func TestSourceChains(t *testing.T) {
	p, other := newPKI(t), newPKI(t)
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	write(t, in("leaf+intermediate"), pemOf(p.leaf, p.intermediate))
	write(t, in("leaf"), pemOf(p.leaf))
	write(t, in("leaf+half"), append(pemOf(p.leaf), pemOf(p.intermediate)[:100]...))
	write(t, in("root"), pemOf(p.root))
	write(t, in("complete"), pemOf(p.intermediate, p.root))
	write(t, in("other"), pemOf(other.root))
	write(t, in("half"), pemOf(p.root)[:100])
	tests := []struct {
		name   string
		chains []Chain
		want   []string
	}{
		{"as it should be", []Chain{{File: in("leaf+intermediate"), CAFile: in("root")}}, []string{
			"file leaf+intermediate CN=leaf", "file leaf+intermediate by root true",
		}},
		{"without its intermediate", []Chain{{File: in("leaf"), CAFile: in("root")}, {File: in("leaf"), CAFile: in("complete")}}, []string{
			"file leaf CN=leaf", "file leaf by root false", "file leaf by complete true",
		}},
		{"another authority", []Chain{{File: in("leaf+intermediate"), CAFile: in("other")}}, []string{
			"file leaf+intermediate CN=leaf", "file leaf+intermediate by other false",
		}},
		{"half of the chain", []Chain{{File: in("leaf+half"), CAFile: in("complete")}}, []string{
			"file leaf+half CN=leaf failed malformed",
		}},
		{"half of the authorities", []Chain{{File: in("leaf"), CAFile: in("half")}}, []string{
			"file half failed malformed", "file leaf CN=leaf",
		}},
		{"given without authorities", []Chain{{File: in("leaf"), CAFile: in("absent")}}, []string{
			"file absent failed not_found", "file leaf CN=leaf",
		}},
		{"default without authorities", []Chain{{File: in("leaf"), CAFile: in("absent"), Optional: true}}, []string{
			"file leaf CN=leaf",
		}},
		{"default beside a default that is absent", []Chain{
			{File: in("absent"), CAFile: in("root"), Optional: true}, {File: in("leaf"), CAFile: in("complete"), Optional: true},
		}, []string{"file leaf CN=leaf", "file leaf by complete true"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newTestSource(t, Config{Chains: tt.chains})
			expect(t, s, dir, tt.want...)
			expect(t, s, dir, tt.want...) // from memory
		})
	}
}

// A default that can't be looked for isn't the same as one that isn't there.
func TestSourcePermission(t *testing.T) {
	p := newPKI(t)
	dir := publicDir(t)
	closed := filepath.Join(dir, "closed")
	write(t, filepath.Join(closed, "a.crt"), pemOf(p.leaf))
	write(t, filepath.Join(dir, "open/secret.crt"), pemOf(p.leaf))
	if err := errors.Join(os.Chmod(filepath.Join(dir, "open/secret.crt"), 0), os.Chmod(closed, 0)); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(closed, 0o700) // So that it can be removed.
	s := newTestSource(t, Config{Files: []File{
		{Path: filepath.Join(closed, "*.crt"), Optional: true},
		{Path: filepath.Join(closed, "a.crt"), Optional: true},
		{Path: filepath.Join(dir, "open/*.crt"), Optional: true},
	}})
	asNobody(t, func() {
		expect(t, s, dir, "file closed/*.crt failed permission", "file closed/a.crt failed permission", "file open/secret.crt failed permission")
	})
}

func TestSourceEndpoints(t *testing.T) {
	p := newPKI(t)
	dir := t.TempDir()
	ca := write(t, filepath.Join(dir, "ca.crt"), pemOf(p.root))
	healthy := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{serving(p.leaf, p.intermediate)}})
	healthy.CAFile = ca
	system := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{serving(p.leaf, p.intermediate)}})
	lost := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{serving(p.leaf, p.intermediate)}})
	lost.CAFile = filepath.Join(dir, "absent.crt")

	s := newTestSource(t, Config{Endpoints: []Endpoint{healthy, system, lost}})
	reading, err := s.Read(t.Context())
	got := lines(reading, dir)
	want := []string{
		"endpoint " + healthy.Name() + " CN=leaf",
		"endpoint " + system.Name() + " CN=leaf",
		"endpoint " + lost.Name() + " CN=leaf",
		"endpoint " + healthy.Name() + " by ca.crt true",
		"endpoint " + system.Name() + " by system false",
		"file absent.crt failed not_found",
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) || err != nil {
		t.Errorf("Read: got %q (%v)\nwant %q", got, err, want)
	}
}

// A refused connection costs nothing, and is tried again at the next reading.
func TestSourceEndpointComesUp(t *testing.T) {
	p := newPKI(t)
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := endpointAt(t, listener.Addr())
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	s := newTestSource(t, Config{Endpoints: []Endpoint{e}})
	expect(t, s, "", "endpoint "+e.Name()+" failed unreachable")

	listener, err = tls.Listen("tcp", e.Name(), &tls.Config{Certificates: []tls.Certificate{serving(p.leaf)}})
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = conn.Read(make([]byte, 1)) // shakes hands
	}()
	expect(t, s, "", "endpoint "+e.Name()+" CN=leaf", "endpoint "+e.Name()+" by system false")
}

// A silent endpoint holds up neither the files nor the reading.
func TestSourceDeadline(t *testing.T) {
	p := newPKI(t)
	dir := t.TempDir()
	file := write(t, filepath.Join(dir, "leaf.crt"), pemOf(p.leaf))
	hold := make(chan struct{})
	defer close(hold)
	silent := serve(t, func(net.Conn) { <-hold })
	s := newTestSource(t, Config{Files: []File{{Path: file}}, Endpoints: []Endpoint{silent}})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	begin := time.Now()
	reading, err := s.Read(ctx)
	if took := time.Since(begin); took > handshakeTimeout/2 {
		t.Errorf("Read: took %v, want about 50ms", took)
	}
	want := []string{"endpoint " + silent.Name() + " failed timeout", "file leaf.crt CN=leaf"}
	if got := lines(reading, dir); !slices.Equal(got, want) || err != nil {
		t.Errorf("Read: got %q (%v)\nwant %q", got, err, want)
	}

	// With no time left the files are not read, which is a failure of the whole.
	reading, err = s.Read(ctx)
	want = []string{"endpoint " + silent.Name() + " failed timeout"}
	if got := lines(reading, dir); len(got) > 0 && !slices.Equal(got, want) || err == nil || failure.Of(err) != failure.Timeout {
		t.Errorf("Read without time: got %q (%v)\nwant %q and reason timeout", got, err, want)
	}
}

func TestSourceBusy(t *testing.T) {
	s := newTestSource(t, Config{})
	s.turn <- struct{}{}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Read(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Read beside a reading that hangs: got %v, want %v", err, context.Canceled)
	}
}

func TestNewSourceRefuses(t *testing.T) {
	tests := []struct {
		name   string
		config Config
	}{
		{"bad pattern", Config{Files: []File{{Path: "/etc/[/*.crt"}}}},
		{"chain twice", Config{Chains: []Chain{{File: "a", CAFile: "b"}, {File: "./a", CAFile: "b", Optional: true}}}},
		{"endpoint twice", Config{Endpoints: []Endpoint{{Host: "h", Port: "1"}, {Host: "h", Port: "1", CAFile: "c"}}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := NewSource(slog.New(slog.DiscardHandler), tt.config); err == nil {
				t.Error("NewSource: got nil, want an error")
			}
		})
	}
}

func TestSourceLogs(t *testing.T) {
	p := newPKI(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "leaf.crt")
	var log bytes.Buffer
	s := newTestSource(t, Config{Files: []File{{Path: path}, {Path: filepath.Join(dir, "*.pem")}}})
	s.log = newFailureLog(slog.New(slog.NewTextHandler(&log, nil)))
	read := func(want ...string) {
		t.Helper()
		log.Reset()
		if _, err := s.Read(t.Context()); err != nil {
			t.Fatal(err)
		}
		got := strings.Split(strings.TrimSuffix(log.String(), "\n"), "\n")
		for i, line := range got {
			_, message, _ := strings.Cut(line, `msg=`)
			message, _, _ = strings.Cut(message, " err=")
			got[i] = strings.ReplaceAll(message, dir+"/", "")
		}
		if len(want) == 0 {
			want = []string{""}
		}
		if !slices.Equal(got, want) {
			t.Errorf("log: got %q, want %q", got, want)
		}
	}
	read(`"Certificates can't be read" kind=file name=leaf.crt reason=not_found`)
	read()
	write(t, path, []byte("-----BEGIN CERTIFICATE-----"))
	read(`"Certificates can't be read" kind=file name=leaf.crt reason=malformed`)
	read()
	write(t, path, pemOf(p.leaf))
	read(`"Certificates can be read again" kind=file name=leaf.crt`)
	read()
}

// A reading crosses a socket between two processes.
func TestReadingJSON(t *testing.T) {
	p := newPKI(t)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "leaf.crt"), append(pemOf(p.leaf), block("CERTIFICATE", nil)...))
	s := newTestSource(t, Config{Files: []File{{Path: filepath.Join(dir, "*")}}, Chains: []Chain{{File: "absent", CAFile: "absent"}}})
	reading, err := s.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(reading)
	if err != nil {
		t.Fatal(err)
	}
	var again Reading
	if err := json.Unmarshal(text, &again); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(again, reading) {
		t.Errorf("after JSON: got %+v, want %+v", again, reading)
	}
}

func thousandFiles(b *testing.B) (pattern string) {
	b.Helper()
	dir := b.TempDir()
	p := newPKI(b)
	data := pemOf(p.leaf, p.intermediate)
	for i := range 1000 {
		write(b, filepath.Join(dir, fmt.Sprintf("%03d.crt", i)), data)
	}
	return filepath.Join(dir, "*.crt")
}

func BenchmarkFilesUnchanged1000(b *testing.B) {
	s := newTestSource(b, Config{Files: []File{{Path: thousandFiles(b)}}})
	opened, parse := 0, s.cache.parse
	s.cache.parse = func(data []byte) contents { opened++; return parse(data) }
	if _, err := s.Read(b.Context()); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if reading, err := s.Read(b.Context()); err != nil || len(reading.Loads) != 1000 {
			b.Fatalf("got %d files (%v)", len(reading.Loads), err)
		}
	}
	if opened != 1000 {
		b.Errorf("opened: got %d files, want 1000", opened)
	}
}

func BenchmarkFilesChanged1000(b *testing.B) {
	s := newTestSource(b, Config{Files: []File{{Path: thousandFiles(b)}}})
	for b.Loop() {
		s.cache.Forget(func(string) bool { return false })
		if _, err := s.Read(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
