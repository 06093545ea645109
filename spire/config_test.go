package spire

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"funlab.casa/attestation_exporter/failure"
)

const recordings = "../testdata/spire"

func TestParseConfig(t *testing.T) {
	tests := []struct {
		name string
		file string
		want Config
	}{
		{"server", "server.conf", Config{
			TrustDomain:  "funlab.casa",
			DataDir:      "/var/lib/spire/server",
			Socket:       "/run/spire/server/api.sock",
			AgentTTL:     time.Hour,
			AuthorityTTL: 24 * time.Hour,
			Endpoint:     BundleEndpoint{Address: "0.0.0.0:8443", Profile: "https_spiffe"},
			Plugins: []Plugin{
				{Name: "NodeAttestor keylime", Path: "/opt/spire/plugins/keylime-attestor-server", Checksum: "1a6ab4233a222b84ad92bad6275346f422dba437180823cd7c82c1b80dc5506e"},
				{Name: "Notifier mail", Path: "/opt/spire/plugins/mail"},
			},
		}},
		{"agent", "agent.conf", Config{
			TrustDomain: "funlab.casa",
			DataDir:     "/var/lib/spire/agent",
			Socket:      "/run/spire/sockets/agent.sock",
			AdminSocket: "/run/spire/admin/admin.sock",
			TrustBundle: "/etc/spire/trust-bundle.pem",
			Plugins: []Plugin{
				{Name: "NodeAttestor keylime", Path: "/opt/spire/plugins/keylime-attestor-agent", Checksum: "1A6AB4233A222B84AD92BAD6275346F422DBA437180823CD7C82C1B80DC5506E"},
			},
		}},
		{"JSON", "agent.json", Config{
			TrustDomain: "funlab.casa",
			DataDir:     "/var/lib/spire/agent",
			Socket:      "/run/spire/sockets/agent.sock",
			Plugins:     []Plugin{{Name: "NodeAttestor keylime", Path: "/opt/spire/plugins/keylime-attestor-agent"}},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join(recordings, "config", tt.file))
			if err != nil {
				t.Fatal(err)
			}
			got, err := parseConfig(bytes.NewReader(text))
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got\n%+v\nwant\n%+v", got, tt.want)
			}
			if bytes.Contains([]byte(strings.Join(flatten(reflect.ValueOf(got)), " ")), []byte("xyzzy")) {
				t.Errorf("got a secret in %+v", got)
			}
		})
	}
}

// flatten returns every string in v.
func flatten(v reflect.Value) []string {
	var texts []string
	switch v.Kind() {
	case reflect.String:
		return []string{v.String()}
	case reflect.Struct:
		for i := range v.NumField() {
			texts = append(texts, flatten(v.Field(i))...)
		}
	case reflect.Slice:
		for i := range v.Len() {
			texts = append(texts, flatten(v.Index(i))...)
		}
	}
	return texts
}

func TestParseConfigRefuses(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"unclosed block", "agent {\n join_token = \"xyzzy\"\n", "line 3: not HCL"},
		{"unclosed string", "agent {\n join_token = \"xyzzy\n}\n", "line 2: not HCL"},
		{"a password where a key should be", "server {\n \"xyzzy\" \"xyzzy\" 7 }\n", "line 2: not HCL"},
		{"half a JSON document", "{\"agent\": {\"join_token\": \"xyzzy\"", "not the configuration of a SPIRE server or agent"},
		{"a number for a block", "agent = 7\n", "line 1: not HCL"},
		{"no duration", "server { ca_ttl = \"xyzzy\" }\n", "ca_ttl isn't a duration"},
		{"negative duration", "server { agent_ttl = \"-1h\" }\n", "agent_ttl isn't a duration"},
		{"another file", "storage \"raft\" { path = \"xyzzy\" }\n", "not the configuration of a SPIRE server or agent"},
		{"binary", "\x7fELF\x02\x01\x00xyzzy", "line 1: not HCL"},
		// Either would end the program, or take minutes.
		{"nested objects", "agent " + strings.Repeat("{xyzzy", 100_000), "brackets nested deeper than 100"},
		{"nested lists", "agent { a = " + strings.Repeat("[", 100_000), "brackets nested deeper than 100"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseConfig(strings.NewReader(tt.text))
			if err == nil || err.Error() != tt.want || failure.Of(err) != failure.Malformed {
				t.Errorf("got %+v, %v, want error %q", got, err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "xyzzy") {
				t.Errorf("got an error that quotes the file: %v", err)
			}
		})
	}
}

func FuzzParseConfig(f *testing.F) {
	files, err := filepath.Glob(filepath.Join(recordings, "config", "*"))
	if err != nil || len(files) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte("agent " + strings.Repeat("{a", 1000)))
	f.Fuzz(func(_ *testing.T, text []byte) {
		_, _ = parseConfig(bytes.NewReader(text)) // No panic, no endless loop.
	})
}
