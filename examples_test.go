package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// The examples that the exporter reads are started with, beside certificates by the
// names that they give.
func TestExamplesStart(t *testing.T) {
	tests := []struct {
		name, file, flag string
	}{
		{"client certificates", "web/client-certificates.yml", "--web.config.file="},
		{"basic auth", "web/basic-auth.yml", "--web.config.file="},
		{"Keylime's client", "keylime/http-config.yml", "--collector.keylime-verifier.http-config="},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			certFile, keyFile := selfSigned(t, dir)
			for _, name := range []string{"server.crt", "prometheus-ca.crt", "keylime-proxy-ca.crt", "keylime-client.crt"} {
				link(t, certFile, filepath.Join(dir, name))
			}
			for _, name := range []string{"server.key", "keylime-client.key"} {
				link(t, keyFile, filepath.Join(dir, name))
			}
			content, err := os.ReadFile(filepath.Join("examples", tt.file))
			if err != nil {
				t.Fatal(err)
			}
			config := filepath.Join(dir, "example.yml")
			writeFile(t, config, string(content))

			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			// An address beyond loopback, so that a file that authenticates nobody is refused.
			args := []string{"--web.listen-address=0.0.0.0:0", tt.flag + config}
			if !strings.HasPrefix(tt.flag, "--web") {
				args[0] = "--web.listen-address=127.0.0.1:0"
			}
			if err := run(ctx, args, io.Discard, io.Discard); err != nil {
				t.Errorf("got error %v, want a start", err)
			}
		})
	}
}

func link(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Symlink(from, to); err != nil {
		t.Fatal(err)
	}
}

func TestExamplesOfPrometheus(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Fatalf("%v: `make tools` unpacks promtool", err)
	}
	files := []string{"examples/compose/prometheus.yml"}
	for _, name := range []string{"static", "file-sd", "spiffe", "basic-auth"} {
		files = append(files, "examples/prometheus/"+name+".yml")
	}
	for _, file := range files {
		if out, err := exec.CommandContext(t.Context(), promtool, "check", "config", "--syntax-only", file).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", file, err, out)
		}
	}
}

// What the Prometheus Operator gets are the rules themselves, one object a file.
func TestExamplesOfTheOperator(t *testing.T) {
	file, err := os.Open("examples/operator/prometheusrules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	documents := yaml.NewDecoder(file)
	sources, err := filepath.Glob("rules/*.rules.yml")
	if err != nil || len(sources) == 0 {
		t.Fatalf("got rules %v, error %v", sources, err)
	}
	for _, source := range sources {
		var object struct {
			Kind     string
			Metadata struct{ Name string }
			Spec     any
		}
		if err := documents.Decode(&object); err != nil {
			t.Fatalf("%s: %v", source, err)
		}
		if want := "attestation-" + strings.TrimSuffix(filepath.Base(source), ".rules.yml"); object.Kind != "PrometheusRule" || object.Metadata.Name != want {
			t.Errorf("got %s %s, want PrometheusRule %s", object.Kind, object.Metadata.Name, want)
		}
		if got, want := yamlText(t, object.Spec), yamlText(t, yamlFile(t, source)); got != want {
			t.Errorf("%s differs from its PrometheusRule: `make generate` makes it anew", source)
		}
	}
	if err := documents.Decode(new(any)); !errors.Is(err, io.EOF) {
		t.Errorf("got error %v behind the last object, want the end", err)
	}
}

// Every file that the Compose file mounts from this tree is there, but the secrets,
// which are the user's; and the files that Alertmanager is told to read are mounted.
func TestExampleOfCompose(t *testing.T) {
	var compose struct {
		Services map[string]struct {
			Image   string
			Volumes []string
		}
	}
	content, err := os.ReadFile("examples/compose/compose.yml")
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(content, &compose); err != nil {
		t.Fatal(err)
	}
	if len(compose.Services) != 3 {
		t.Errorf("got %d services, want 3", len(compose.Services))
	}
	routes, err := os.ReadFile("alertmanager/alertmanager.yml")
	if err != nil {
		t.Fatal(err)
	}
	for _, named := range regexp.MustCompile(`_file: (\S+)`).FindAllStringSubmatch(string(routes), -1) {
		mounted := ":" + filepath.Dir(named[1]) + ":ro"
		if !slices.ContainsFunc(compose.Services["alertmanager"].Volumes, func(v string) bool { return strings.HasSuffix(v, mounted) }) {
			t.Errorf("alertmanager: nothing is mounted where it reads %s", named[1])
		}
	}
	for name, service := range compose.Services {
		for _, volume := range service.Volumes {
			from, _, _ := strings.Cut(volume, ":")
			if !strings.HasPrefix(from, ".") || strings.HasSuffix(from, "secrets") {
				continue
			}
			if _, err := os.Stat(filepath.Join("examples/compose", from)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func TestExamplesAreYAML(t *testing.T) {
	var files []string
	err := filepath.WalkDir("examples", func(path string, _ fs.DirEntry, err error) error {
		if slices.Contains([]string{".yml", ".yaml"}, filepath.Ext(path)) {
			files = append(files, path)
		}
		return err
	})
	if err != nil || len(files) == 0 {
		t.Fatalf("got files %v, error %v", files, err)
	}
	for _, file := range files {
		yamlFile(t, file)
	}
}

func yamlFile(t *testing.T, path string) any {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var document any
	if err := yaml.Unmarshal(content, &document); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return document
}

func yamlText(t *testing.T, document any) string {
	t.Helper()
	text, err := yaml.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
