package spire

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFind(t *testing.T) {
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	socketFile := writeFile(dir, "api.sock", "")
	config := writeFile(dir, "agent.conf", `agent { data_dir = "/configured" socket_path = "/configured.sock" trust_domain = "funlab.casa" }`)
	relative := writeFile(dir, "relative.conf", `agent { data_dir = "./data" }`)
	none := filepath.Join(dir, "none")
	nowhere := Place{Configs: []string{none}, DataDirs: []string{none}, Sockets: []string{none}}

	tests := []struct {
		name            string
		given, standard Place
		wantData        string
		wantSocket      string
		wantDomain      string
	}{
		{"a configuration says all", Place{}, Place{Configs: []string{none, config}, DataDirs: []string{data}, Sockets: []string{socketFile}}, "/configured", "/configured.sock", "funlab.casa"},
		{"the user overrules it", Place{DataDirs: []string{data}, Sockets: []string{socketFile}}, Place{Configs: []string{config}, DataDirs: []string{none}, Sockets: []string{none}}, data, socketFile, "funlab.casa"},
		{"a relative directory isn't known", Place{}, Place{Configs: []string{relative}, DataDirs: []string{none, data}, Sockets: []string{socketFile}}, data, socketFile, ""},
		{"data directory only", Place{}, Place{Configs: []string{none}, DataDirs: []string{data}, Sockets: []string{none}}, data, none, ""},
		{"socket only", Place{}, Place{Configs: []string{none}, DataDirs: []string{none}, Sockets: []string{none, socketFile}}, none, socketFile, ""},
		{"named and not there", Place{Sockets: []string{none}}, nowhere, none, none, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := finder{given: tt.given, standard: tt.standard}
			got, err := f.find()
			if err != nil || got.configErr != nil {
				t.Fatal(err, got.configErr)
			}
			if got.dataDir != tt.wantData || got.socket.path != tt.wantSocket || got.config.TrustDomain != tt.wantDomain {
				t.Errorf("got %q, %q, %q, want %q, %q, %q", got.dataDir, got.socket.path, got.config.TrustDomain, tt.wantData, tt.wantSocket, tt.wantDomain)
			}
		})
	}
	for _, tt := range []struct{ name, config, want string }{
		{"a variable", `agent { data_dir = "${DIR}/data" socket_path = "/s" }`, "data_dir has an environment variable in it"},
		{"a relative path", `agent { data_dir = "/d" socket_path = "run/api.sock" }`, "socket_path isn't absolute"},
	} {
		f := finder{given: Place{Configs: []string{writeFile(dir, "odd.conf", tt.config)}}, standard: nowhere}
		got, err := f.find()
		if err != nil || got.configErr == nil || !strings.Contains(got.configErr.Error(), tt.want) || strings.Contains(got.configErr.Error(), "DIR") {
			t.Errorf("%s: got %v, %v, want %q and no text of the file", tt.name, err, got.configErr, tt.want)
		}
		f.given.DataDirs, f.given.Sockets = []string{data}, []string{socketFile}
		if got, err := f.find(); err != nil || got.configErr != nil {
			t.Errorf("%s, named by flag: got %v, %v, want no error", tt.name, err, got.configErr)
		}
	}
	f := finder{standard: nowhere}
	if _, err := f.find(); !errors.Is(err, ErrAbsent) {
		t.Errorf("got %v where nothing is, want %v", err, ErrAbsent)
	}
}

func TestOwners(t *testing.T) {
	tests := []struct {
		name, owner, dataDir string
		want                 []uint32
		wantErr              bool
	}{
		{"by number", "12345", "/", []uint32{12345}, false},
		{"by name", "root", "/nonexistent", []uint32{0}, false},
		{"of the data directory", "", "/", []uint32{0}, false},
		{"not known", "", "/nonexistent", nil, false},
		{"no such user", "nobody-of-that-name", "/", nil, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := finder{owner: tt.owner}
			got, err := f.owners(tt.dataDir)
			if (err != nil) != tt.wantErr || len(got) != len(tt.want) || len(got) > 0 && got[0] != tt.want[0] {
				t.Errorf("got %v, %v, want %v, error %v", got, err, tt.want, tt.wantErr)
			}
		})
	}
}
