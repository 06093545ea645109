package keylime

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"funlab.casa/attestation_exporter/failure"
)

// lay writes files below a new root, and returns the Files that finds them.
func lay(t *testing.T, files, env map[string]string) *Files {
	t.Helper()
	root := t.TempDir()
	for path, text := range files {
		writeFile(t, filepath.Join(root, path), text)
	}
	return NewFiles(root, func(name string) (string, bool) {
		text, ok := env[name]
		return strings.ReplaceAll(text, "ROOT", root), ok
	})
}

func shipped(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(testdata, "conf", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestShippedConfiguration(t *testing.T) {
	files := lay(t, map[string]string{
		"etc/keylime/verifier.conf":  shipped(t, "verifier.conf"),
		"etc/keylime/registrar.conf": shipped(t, "registrar.conf"),
		"etc/keylime/tenant.conf":    shipped(t, "tenant.conf"),
		"etc/keylime/agent.conf":     shipped(t, "agent.conf"),
	}, nil)

	verifier, err := files.Verifier(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if verifier.URL.String() != "https://127.0.0.1:8881" || verifier.ID != "default" || verifier.QuoteInterval != 2*time.Second {
		t.Errorf("verifier: got %s, %q, %v, want https://127.0.0.1:8881, default, 2s", verifier.URL.String(), verifier.ID, verifier.QuoteInterval)
	}
	registrar, err := files.Registrar(t.Context())
	if err != nil || registrar.URL.String() != "https://127.0.0.1:8891" {
		t.Errorf("registrar: got %s, %v, want https://127.0.0.1:8891", registrar.URL.String(), err)
	}
	agent, err := files.Agent(t.Context())
	if err != nil || agent.UUID != DefaultUUID || agent.Address != "127.0.0.1:9002" || !agent.TLS {
		t.Errorf("agent: got %+v, %v, want the default UUID on 127.0.0.1:9002 with TLS", agent, err)
	}
}

func TestVerifierSettings(t *testing.T) {
	const base = "etc/keylime/verifier.conf"
	tests := []struct {
		name       string
		files, env map[string]string
		url, id    string
	}{
		{"quoted, in capitals, with colons", map[string]string{base: "[verifier]\nUUID : \"mine\"\nIP= \"192.0.2.1\"\nport = 443\n"}, nil, "https://192.0.2.1:443", "mine"},
		{"other sections", map[string]string{base: "[verifier]\nuuid = mine\n[revocations]\nuuid = yours\nport = 1\n"}, nil, "https://127.0.0.1:8881", "mine"},
		{"goes on in the next line", map[string]string{base: "[verifier]\nuuid =\n  mine\n# port = 1\n; port = 2\n"}, nil, "https://127.0.0.1:8881", "\nmine"},
		{"binds to every address", map[string]string{base: "[verifier]\nip = 0.0.0.0\n"}, nil, "https://127.0.0.1:8881", "default"},
		{"binds to every address of IPv6", map[string]string{base: "[verifier]\nip = ::\n"}, nil, "https://[::1]:8881", "default"},
		{"tenants are told where to go", map[string]string{base: "[verifier]\nip = 0.0.0.0\n", "etc/keylime/tenant.conf": "[tenant]\nverifier_ip = keylime.example\n"}, nil, "https://keylime.example:8881", "default"},
		{"broken tenant.conf", map[string]string{base: "[verifier]\nip = 0.0.0.0\n", "etc/keylime/tenant.conf": "nonsense"}, nil, "https://127.0.0.1:8881", "default"},
		{"the distribution's own", map[string]string{"usr/" + base: "[verifier]\nuuid = shipped\n"}, nil, "https://127.0.0.1:8881", "shipped"},
		{"the administrator's wins", map[string]string{"usr/" + base: "[verifier]\nuuid = shipped\nport = 1\n", base: "[verifier]\nuuid = mine\n"}, nil, "https://127.0.0.1:8881", "mine"},
		{"snippets of both folders, by name", map[string]string{
			base:                     "[verifier]\nuuid = mine\nport = 1\n",
			"usr/" + base + ".d/9":   "[verifier]\nport = 2\nuuid = shipped\n",
			base + ".d/20-last.conf": "[verifier]\nuuid = last\n",
			base + ".d/10":           "[verifier]\nuuid = first\n",
		}, nil, "https://127.0.0.1:2", "last"},
		{"the environment", map[string]string{base: "[verifier]\nuuid = mine\n"}, map[string]string{"KEYLIME_VERIFIER_UUID": `"env"`, "KEYLIME_VERIFIER_PORT": "3"}, "https://127.0.0.1:3", "env"},
		{"another file", map[string]string{base: "[verifier]\nuuid = mine\n", base + ".d/x": "[verifier]\nuuid = snippet\n", "other": "[verifier]\nuuid = other\n"},
			map[string]string{"KEYLIME_VERIFIER_CONFIG": "ROOT/other"}, "https://127.0.0.1:8881", "other"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := lay(t, tt.files, tt.env).Verifier(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got.URL.String() != tt.url || got.ID != tt.id {
				t.Errorf("got %s, %q, want %s, %q", got.URL.String(), got.ID, tt.url, tt.id)
			}
		})
	}
}

func TestAgentSettings(t *testing.T) {
	const base = "etc/keylime/agent.conf"
	tests := []struct {
		name       string
		files, env map[string]string
		want       AgentSettings
	}{
		{"empty", map[string]string{base: ""}, nil, AgentSettings{UUID: DefaultUUID, Address: "127.0.0.1:9002", TLS: true}},
		{"text for numbers and truth", map[string]string{base: "[agent]\nuuid = \"hash_ek\"\nip = \"0.0.0.0\"\nport = \"9003\"\nenable_agent_mtls = \"False\"\n"}, nil,
			AgentSettings{UUID: "hash_ek", Address: "127.0.0.1:9003"}},
		{"snippets over both", map[string]string{"usr/" + base: "[agent]\nport = 1\nip = \"192.0.2.1\"\n", base: "[agent]\nport = 2\n", base + ".d/a.conf": "[agent]\nuuid = \"generate\"\n"}, nil,
			AgentSettings{UUID: "generate", Address: "192.0.2.1:2", TLS: true}},
		{"snippets alone", map[string]string{base + ".d/a.conf": "[agent]\nport = 7\n"}, nil, AgentSettings{UUID: DefaultUUID, Address: "127.0.0.1:7", TLS: true}},
		{"the environment", map[string]string{base: "[agent]\nport = 2\n"}, map[string]string{"KEYLIME_AGENT_PORT": "3", "KEYLIME_AGENT_UUID": "generate"},
			AgentSettings{UUID: "generate", Address: "127.0.0.1:3", TLS: true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := lay(t, tt.files, tt.env).Agent(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestConfigurationErrors(t *testing.T) {
	const secret = "SECRET"
	read := map[string]func(*Files) error{
		"verifier":  func(f *Files) error { _, err := f.Verifier(t.Context()); return err },
		"registrar": func(f *Files) error { _, err := f.Registrar(t.Context()); return err },
		"agent":     func(f *Files) error { _, err := f.Agent(t.Context()); return err },
	}
	tests := []struct {
		name, component, text string
		says                  string
	}{
		{"no section", "verifier", "password = " + secret, "verifier.conf:1: a line before the first section"},
		{"open section", "verifier", "[verifier\nserver_key_password = " + secret, "verifier.conf:1: a section without its closing bracket"},
		{"no delimiter", "verifier", "[verifier]\nuuid = a\n" + secret, "verifier.conf:3: neither a section nor a key with a value"},
		{"twice", "verifier", "[verifier]\ndatabase_url = " + secret + "\ndatabase_url = " + secret, "verifier.conf:3: a key that was there already"},
		{"port", "verifier", "[verifier]\nport = " + secret, "verifier.conf:2: port isn't a port"},
		{"port 0", "registrar", "[registrar]\ntls_port = 0", "registrar.conf:2: tls_port isn't a port"},
		{"interval", "verifier", "[verifier]\nquote_interval = nan", "verifier.conf:2: quote_interval isn't a number of seconds"},
		{"address", "verifier", "[verifier]\nip = a/" + secret, "verifier.conf:2: ip isn't an address"},
		{"TOML", "agent", "[agent]\nserver_key_password = " + secret, "agent.conf:2: not TOML of the right form"},
		{"TOML twice", "agent", "[agent]\nuuid = \"" + secret + "\"\nuuid = \"" + secret + "\"\n", "agent.conf:3: not TOML of the right form"},
		{"TOML of another type", "agent", "agent = \"" + secret + "\"", "not TOML of the right form"},
		{"table", "agent", "[agent.uuid]\n" + secret + " = 1", "agent.conf: uuid is neither text"},
		{"agent's port", "agent", "[agent]\nport = \"" + secret + "\"", "agent.conf: port isn't a port"},
		{"truth", "agent", "[agent]\nenable_agent_mtls = \"" + secret + "\"", "agent.conf: enable_agent_mtls isn't true or false"},
		{"long value", "verifier", "[verifier]\nuuid =\n" + strings.Repeat(" "+secret+"\n", maxConfig/16), "a value longer than 16384 bytes"},
		{"too long", "agent", strings.Repeat("# "+secret, maxConfig), "more than 1048576"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			files := lay(t, map[string]string{"etc/keylime/" + tt.component + ".conf": tt.text}, nil)
			err := read[tt.component](files)
			if err == nil || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), secret) {
				t.Fatalf("error: got %v, want one that says %q and no text", err, tt.says)
			}
			if errors.Is(err, ErrAbsent) {
				t.Errorf("error: got %v, want one that isn't ErrAbsent", err)
			}
		})
	}
	for component, read := range read {
		if err := read(lay(t, nil, nil)); !errors.Is(err, ErrAbsent) {
			t.Errorf("%s without a file: got %v, want ErrAbsent", component, err)
		}
	}
	if err := read["verifier"](lay(t, map[string]string{"etc/keylime/verifier.conf/x": ""}, nil)); err == nil || errors.Is(err, ErrAbsent) {
		t.Errorf("a folder for a file: got %v, want an error", err)
	}
	named := lay(t, nil, map[string]string{"KEYLIME_AGENT_CONFIG": "ROOT/nosuch"})
	if err := read["agent"](named); err == nil || errors.Is(err, ErrAbsent) || failure.Of(err) != failure.Unreachable {
		t.Errorf("a named file that isn't there: got %v, want a failure", err)
	}
}

// What was parsed is kept as long as the file is as it was, for all who read it, and
// so is what is wrong with it.
func TestConfigurationIsKept(t *testing.T) {
	files := lay(t, map[string]string{
		"etc/keylime/verifier.conf":     shipped(t, "verifier.conf"),
		"etc/keylime/verifier.conf.d/a": "[verifier]\nuuid = snippet\n",
		"etc/keylime/registrar.conf":    strings.Repeat("# as long as others\n", 100) + "nonsense\n",
		"etc/keylime/agent.conf":        shipped(t, "agent.conf"),
	}, nil)
	for _, c := range []*component{files.verifier, files.registrar, files.agent} {
		c.known.Now = func() time.Time { return time.Now().Add(time.Hour) }
	}
	_, _ = files.Certificates(t.Context())
	for name, read := range map[string]func() error{
		"verifier":  func() error { _, err := files.Verifier(t.Context()); return err },
		"registrar": func() error { _, err := files.Registrar(t.Context()); return err },
		"agent":     func() error { _, err := files.Agent(t.Context()); return err },
	} {
		before := read()
		if got := testing.AllocsPerRun(10, func() { _ = read() }); got > 100 {
			t.Errorf("%s: got %v allocations a reading of unchanged files, want at most 100", name, got)
		}
		if after := read(); (before == nil) != (after == nil) || (after != nil) != (name == "registrar") {
			t.Errorf("%s: got %v, then %v, want an error of the registrar alone, and each time", name, before, after)
		}
	}
}

func TestConfigurationChanges(t *testing.T) {
	const base = "etc/keylime/verifier.conf"
	files := lay(t, map[string]string{base: "[verifier]\nuuid = one\n"}, nil)
	files.verifier.known.Now = func() time.Time { return time.Now().Add(time.Hour) }
	path := filepath.Join(files.root, base)
	for _, step := range []struct {
		name   string
		change func() error
		want   string // empty: an error
	}{
		{"as it is", func() error { return nil }, "one"},
		{"written", func() error { return os.WriteFile(path, []byte("[verifier]\nuuid = other\n"), 0o600) }, "other"},
		{"a snippet", func() error { writeFile(t, path+".d/a", "[verifier]\nuuid = snippet\n"); return nil }, "snippet"},
		{"broken", func() error { return os.WriteFile(path, []byte("nonsense"), 0o600) }, ""},
		{"mended", func() error { return os.WriteFile(path, []byte("[verifier]\nuuid = mended\n"), 0o600) }, "snippet"},
		{"without the snippet", func() error { return os.Remove(path + ".d/a") }, "mended"},
		{"gone", func() error { return os.Remove(path) }, ""},
	} {
		if err := step.change(); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			got, err := files.Verifier(t.Context())
			if got.ID != step.want || (err == nil) != (step.want != "") {
				t.Errorf("%s: got %q, %v, want %q", step.name, got.ID, err, step.want)
			}
		}
	}
}

// One file may be named for two components, each with its own section.
func TestConfigurationOfTwoComponents(t *testing.T) {
	files := lay(t, map[string]string{"all.conf": "[verifier]\nip = 192.0.2.1\n[registrar]\nip = 192.0.2.2\n"},
		map[string]string{"KEYLIME_VERIFIER_CONFIG": "ROOT/all.conf", "KEYLIME_REGISTRAR_CONFIG": "ROOT/all.conf"})
	for range 2 {
		verifier, err := files.Verifier(t.Context())
		registrar, otherErr := files.Registrar(t.Context())
		if err := errors.Join(err, otherErr); err != nil || verifier.URL.Host != "192.0.2.1:8881" || registrar.URL.Host != "192.0.2.2:8891" {
			t.Errorf("got %s, %s, %v, want 192.0.2.1:8881 and 192.0.2.2:8891", verifier.URL.Host, registrar.URL.Host, err)
		}
	}
}

func BenchmarkCertificatesUnchanged(b *testing.B) {
	root := b.TempDir()
	for _, name := range []string{"verifier.conf", "registrar.conf", "tenant.conf", "agent.conf"} {
		writeFile(b, filepath.Join(root, "etc/keylime", name), shipped(b, name))
	}
	files := NewFiles(root, nil)
	for _, c := range []*component{files.verifier, files.registrar, files.tenant, files.agent} {
		c.known.Now = func() time.Time { return time.Now().Add(time.Hour) }
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := files.Certificates(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

// TestAllowList holds that nothing but the allowed keys leaves the parsers.
func TestAllowList(t *testing.T) {
	ini, err := parseINI("f", []byte("[verifier]\nuuid = a\nserver_key_password = SECRET\n  goes on\ndatabase_url = SECRET\n[revocations]\nuuid = SECRET\n"), "verifier", []string{"uuid"})
	if err != nil || len(ini) != 1 || ini["uuid"].text != "a" {
		t.Errorf("INI: got %v, %v, want uuid alone", ini, err)
	}
	toml, err := parseTOML("f", []byte("[agent]\nuuid = \"a\"\nip = \"SECRET\"\nserver_key_password = \"SECRET\"\n"), "agent", []string{"uuid"})
	if err != nil || len(toml) != 1 || toml["uuid"].text != "a" {
		t.Errorf("TOML: got %v, %v, want uuid alone", toml, err)
	}
}

func FuzzParseINI(f *testing.F) {
	for _, name := range []string{"verifier.conf", "registrar.conf", "tenant.conf"} {
		f.Add([]byte(shipped(f, name)))
	}
	f.Add([]byte("[verifier]\nuuid = a\n  more\n; x\n[b]\nip: c\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		found, err := parseINI("f", text, "verifier", []string{"uuid", "ip"})
		checkFound(t, found, err)
	})
}

func FuzzParseTOML(f *testing.F) {
	f.Add([]byte(shipped(f, "agent.conf")))
	f.Add([]byte("[agent]\nuuid = \"a\"\nip = 1\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		found, err := parseTOML("f", text, "agent", []string{"uuid", "ip"})
		checkFound(t, found, err)
	})
}

func checkFound(t *testing.T, found values, err error) {
	t.Helper()
	for key := range found {
		if key != "uuid" && key != "ip" {
			t.Errorf("got the key %q, want none but those allowed", key)
		}
	}
	if err != nil && (found != nil || len(err.Error()) > 200 || strings.ContainsAny(err.Error(), "\n")) {
		t.Errorf("got %v and %q, want a short line alone", found, err)
	}
}

// TestReadingsAreSerialisable: a privileged process sends them to another.
func TestReadingsAreSerialisable(t *testing.T) {
	got, err := decodeBulk(strings.NewReader(recordedBody(t, "verifier-agents-bulk-all-states-partly-from-db")), "default")
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(VerifierReading{Verifier: "default", Up: true, Agents: got.agents})
	if err != nil {
		t.Fatal(err)
	}
	var back VerifierReading
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	for i := range got.agents {
		if render(back.Agents[i]) != render(got.agents[i]) {
			t.Errorf("got %s, want %s", render(back.Agents[i]), render(got.agents[i]))
		}
	}
}
