package docs

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/prometheus/common/config"
	"github.com/prometheus/exporter-toolkit/web"
	"go.yaml.in/yaml/v3"
)

// TestConfigurationLoads gives each YAML block to whoever reads it in earnest,
// which is told by its topmost keys. The files that a block names aren't here.
func TestConfigurationLoads(t *testing.T) {
	for _, p := range pages(t) {
		for _, b := range p.blocks("yaml") {
			if err := load(t, b.text); err != nil {
				t.Errorf("%s: %v in the block\n%s", p.path, err, b.text)
			}
		}
	}
}

func load(t *testing.T, text string) error {
	t.Helper()
	var top map[string]any
	if err := yaml.Unmarshal([]byte(text), &top); err != nil {
		return err
	}
	switch {
	case has(top, "groups"):
		return check(t, "promtool", text, "check", "rules")
	case has(top, "scrape_configs", "remote_write", "rule_files", "global"):
		return check(t, "promtool", text, "check", "config", "--syntax-only")
	case has(top, "route", "receivers"):
		return check(t, "amtool", text, "check-config")
	case has(top, "tls_server_config", "basic_auth_users"):
		return strict(text, &web.Config{})
	case has(top, "providers"):
		return strict(text, &dashboardProviders{})
	case has(top, "tls_config"):
		return strict(text, &config.HTTPClientConfig{})
	}
	return errors.New("nobody is known to read this; say in load() who does")
}

// dashboardProviders is the part of a Grafana provisioning file that is shown.
type dashboardProviders struct {
	APIVersion int `yaml:"apiVersion"`
	Providers  []struct {
		Name           string
		Folder         string
		Type           string
		AllowUIUpdates bool `yaml:"allowUiUpdates"`
		Options        struct{ Path string }
	}
}

func has(top map[string]any, keys ...string) bool {
	for _, key := range keys {
		if _, ok := top[key]; ok {
			return true
		}
	}
	return false
}

func strict(text string, into any) error {
	decoder := yaml.NewDecoder(bytes.NewReader([]byte(text)))
	decoder.KnownFields(true)
	return decoder.Decode(into)
}

func check(t *testing.T, program, text string, args ...string) error {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Fatalf("%v: `make tools` unpacks %s", err, program)
	}
	file := filepath.Join(t.TempDir(), "block.yml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return err
	}
	if out, err := exec.CommandContext(t.Context(), path, append(args, file)...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", program, err, out)
	}
	return nil
}
