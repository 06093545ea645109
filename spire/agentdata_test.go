package spire

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"funlab.casa/attestation_exporter/certs"
	"funlab.casa/attestation_exporter/failure"
)

func readRecording(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(recordings, name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestParseAgentData(t *testing.T) {
	tests := []struct {
		file            string
		wantNotAfter    string
		wantAuthorities int
	}{
		{"agent-data.json", "2026-11-23T19:29:53Z", 1},
		{"agent-data.json.expired_svid_several_authorities", "2026-11-23T18:38:03Z", 4},
		{"agent-data.json.banned_no_svid", "", 1},
	}
	for _, tt := range tests {
		t.Run(tt.file, func(t *testing.T) {
			data, err := parseAgentData(bytes.NewReader(readRecording(t, "agent_data_dir/"+tt.file)))
			if err != nil {
				t.Fatal(err)
			}
			notAfter := ""
			if len(data.chain) > 0 {
				notAfter = data.chain[0].NotAfter.Format(time.RFC3339)
			}
			if notAfter != tt.wantNotAfter {
				t.Errorf("got an SVID until %q, want %q", notAfter, tt.wantNotAfter)
			}
			if got := len(certs.ParseBundle("", data.bundle).Authorities); got != tt.wantAuthorities {
				t.Errorf("got %d authorities, want %d", got, tt.wantAuthorities)
			}
		})
	}
}

func TestParseAgentDataBroken(t *testing.T) {
	whole := string(readRecording(t, "agent_data_dir/agent-data.json"))
	var file struct{ SVID, Bundle []string }
	if err := json.Unmarshal([]byte(whole), &file); err != nil {
		t.Fatal(err)
	}
	garbage := base64.StdEncoding.EncodeToString([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	tests := []struct {
		name, text  string
		wantChain   int
		wantsBundle bool
	}{
		{"empty", "", 0, false},
		{"half written", whole[:len(whole)/2], 0, false},
		{"a list", "[]", 0, false},
		{"a number for the SVID", `{"svid": 7}`, 0, false},
		{"wrong base64 in the SVID", `{"svid": ["%%"], "bundle": ["` + file.Bundle[0] + `"]}`, 0, true},
		{"wrong base64 in the bundle", `{"svid": ["` + file.SVID[0] + `"], "bundle": ["%%"]}`, 1, false},
		{"no PEM", `{"svid": ["AAAA"], "bundle": ["` + file.Bundle[0] + `"]}`, 0, true},
		{"second certificate of the chain is garbage", `{"svid": ["` + file.SVID[0] + `", "` + garbage + `"], "bundle": ["` + file.Bundle[0] + `"]}`, 1, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			data, err := parseAgentData(strings.NewReader(tt.text))
			if err == nil || failure.Of(err) != failure.Malformed {
				t.Errorf("got error %v, want a malformed one", err)
			}
			if len(data.chain) != tt.wantChain || (len(data.bundle) > 0) != tt.wantsBundle {
				t.Errorf("got a chain of %d and a bundle of %d bytes, want %d and %v", len(data.chain), len(data.bundle), tt.wantChain, tt.wantsBundle)
			}
		})
	}
}

func FuzzParseAgentData(f *testing.F) {
	files, err := filepath.Glob(filepath.Join(recordings, "agent_data_dir", "*"))
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
	f.Fuzz(func(_ *testing.T, text []byte) {
		data, _ := parseAgentData(bytes.NewReader(text))
		_ = certs.ParseBundle(AgentDataBundle, data.bundle)
	})
}

func FuzzParseAuthorities(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0x30, 0x84, 0xff, 0xff, 0xff, 0xff})
	data, err := os.ReadFile(filepath.Join(recordings, "rotation/3_two_expired_active_prepared/FetchX509Bundles.resp.bin"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(_ *testing.T, der []byte) { _, _ = parseAuthorities(der) })
}
