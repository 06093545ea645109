package spire

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"funlab.casa/attestation_exporter/failure"
)

func sha256Hex(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func TestPlugins(t *testing.T) {
	dir := t.TempDir()
	good := writeFile(dir, "good", "the plugin")
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	huge := writeFile(dir, "huge", "")
	if err := os.Truncate(huge, maxPlugin+1); err != nil {
		t.Fatal(err)
	}
	yes, no := true, false
	tests := []struct {
		name string
		path string
		pin  string
		want Pin
	}{
		{"matches", good, sha256Hex("the plugin"), Pin{Pinned: true, Matches: &yes}},
		{"matches in capitals", good, strings.ToUpper(sha256Hex("the plugin")), Pin{Pinned: true, Matches: &yes}},
		{"rebuilt", good, sha256Hex("the older plugin"), Pin{Pinned: true, Matches: &no}},
		{"a pin that is no SHA-256", good, "abc", Pin{Pinned: true, Matches: &no}},
		{"a pin cut short", good, sha256Hex("the plugin")[:62], Pin{Pinned: true, Matches: &no}},
		{"not pinned", good, "", Pin{}},
		{"no file", filepath.Join(dir, "absent"), sha256Hex(""), Pin{Pinned: true, Failed: PinNotFound}},
		{"below a file", filepath.Join(good, "absent"), sha256Hex(""), Pin{Pinned: true, Failed: PinNotFound}},
		{"relative", "plugins/good", sha256Hex(""), Pin{Pinned: true, Failed: PinRelative}},
		{"variable in the path", "/opt/${DIR}/good", sha256Hex(""), Pin{Pinned: true, Failed: PinVariable}},
		{"variable as the pin", good, "${PIN}", Pin{Pinned: true, Failed: PinVariable}},
		{"directory", dir, sha256Hex(""), Pin{Pinned: true, Failed: PinReadError}},
		{"FIFO", fifo, sha256Hex(""), Pin{Pinned: true, Failed: PinReadError}},
		{"device", "/dev/zero", sha256Hex(""), Pin{Pinned: true, Failed: PinReadError}},
		{"too large", huge, sha256Hex(""), Pin{Pinned: true, Failed: PinReadError}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.want.Plugin, tt.want.Path = "NodeAttestor keylime", tt.path
			var plugins Plugins
			if got := plugins.compare(Plugin{Name: "NodeAttestor keylime", Path: tt.path, Checksum: tt.pin}); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestPluginForbidden(t *testing.T) {
	path := writeFile(openDir(t), "plugin", "the plugin")
	if err := os.Chmod(path, 0); err != nil {
		t.Fatal(err)
	}
	asStranger(t, func() {
		var plugins Plugins
		if got := plugins.compare(Plugin{Path: path, Checksum: sha256Hex("")}); got.Failed != PinPermission {
			t.Errorf("got %+v, want failed by permission", got)
		}
	})
}

// An unchanged file isn't hashed again; any change is seen, also one that keeps
// size and modification time.
func TestPluginReplaced(t *testing.T) {
	dir := t.TempDir()
	path := writeFile(dir, "plugin", "version 1")
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
	var plugins Plugins
	pin := Plugin{Path: path, Checksum: sha256Hex("version 1")}
	if got := plugins.compare(pin); got.Matches == nil || !*got.Matches {
		t.Fatalf("got %+v, want a match", got)
	}
	writeFile(dir, "plugin", "version 2")
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
	if got := plugins.compare(pin); got.Matches == nil || *got.Matches {
		t.Errorf("got %+v after a change, want no match", got)
	}
}

func TestPluginsRead(t *testing.T) {
	dir := t.TempDir()
	plugin := writeFile(dir, "plugin", "the plugin")
	block := fmt.Sprintf("plugins { NodeAttestor \"keylime\" { plugin_cmd = %q plugin_checksum = %q } }\n", plugin, sha256Hex("the plugin"))
	agent := writeFile(dir, "agent.conf", "agent { data_dir = \"/x\" }\n"+block)
	server := writeFile(dir, "server.conf", "server { data_dir = \"/x\" }\n"+block)

	pins, err := NewPlugins(PluginOptions{AgentConfigs: []string{agent}, ServerConfigs: []string{server}}).Read(t.Context())
	if err != nil || len(pins) != 1 || pins[0].Matches == nil || !*pins[0].Matches {
		t.Errorf("got %+v, %v, want the plugin of both files once", pins, err)
	}
	broken := writeFile(dir, "broken.conf", "server {")
	pins, err = NewPlugins(PluginOptions{AgentConfigs: []string{agent}, ServerConfigs: []string{broken}}).Read(t.Context())
	if err == nil || failure.Of(err) != failure.Malformed || len(pins) != 1 {
		t.Errorf("got %+v, %v, want the agent's plugin and a malformed error", pins, err)
	}
	_, err = NewPlugins(PluginOptions{AgentConfigs: []string{filepath.Join(dir, "none")}, ServerConfigs: []string{filepath.Join(dir, "none")}}).Read(t.Context())
	if !errors.Is(err, ErrAbsent) {
		t.Errorf("got %v, want %v", err, ErrAbsent)
	}
}
