package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func testSource() source {
	return source{Version: "1.2.3", Revision: "abc", Branch: "main", Time: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)}
}

func TestLDFlags(t *testing.T) {
	p, err := readProject("../../.promu.yml")
	if err != nil {
		t.Fatal(err)
	}
	got, err := p.ldflags(testSource())
	if err != nil {
		t.Fatal(err)
	}
	const v = "github.com/prometheus/common/version"
	want := "-s -w -X " + v + ".Version=1.2.3 -X " + v + ".Revision=abc -X " + v + ".Branch=main -X " + v + ".BuildUser=make -X " + v + ".BuildDate=20260304-05:06:07"
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := p.name(), "attestation_exporter"; got != want {
		t.Errorf("got name %s, want %s", got, want)
	}
	platforms, err := p.platforms()
	if want := (platform{"linux", "amd64"}); err != nil || len(platforms) != 2 || platforms[0] != want {
		t.Errorf("got platforms %v, error %v; want %v first of two", platforms, err, want)
	}
}

func TestDatedChangelog(t *testing.T) {
	tests := []struct {
		name, changelog, want string
	}{
		{"dated", "# Changelog\n\n## 1.2.3 / 2026-12-01\n\n## 1.2.2 / 2026-11-01\n", ""},
		{"unreleased", "## 1.2.3 / unreleased\n", `CHANGELOG.md says "unreleased" for 1.2.3: give it the day of the release`},
		{"older", "## 1.2.2 / 2026-11-01\n", "CHANGELOG.md begins with 1.2.2, and VERSION says 1.2.3"},
		{"newest isn't first", "## 1.2.2 / 2026-11-01\n## 1.2.3 / 2026-12-01\n", "CHANGELOG.md begins with 1.2.2, and VERSION says 1.2.3"},
		{"none", "# Changelog\n", `CHANGELOG.md has no heading of the form "## 0.1.0 / 2026-12-01"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := ""
			if err := datedChangelog(tt.changelog, "1.2.3"); err != nil {
				got = err.Error()
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestManualPage(t *testing.T) {
	help := ".TH program 1 a version\nof two lines\n.SH \"NAME\"\nprogram status\n.SH \"SYNOPSIS\"\nuse\n"
	got, err := manualPage(help, []string{"program", "status"}, testSource())
	if err != nil {
		t.Fatal(err)
	}
	want := ".TH PROGRAM-STATUS 1 \"2026-03-04\" \"program 1.2.3\"\n.SH NAME\nprogram-status \\- Prometheus exporter for a host's chain of trust\n.SH \"SYNOPSIS\"\nuse\n" + manualEnd
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if _, err := manualPage("usage: program", []string{"program"}, testSource()); err == nil {
		t.Error("got a page from a text without a section NAME, want an error")
	}
}

// The same content gives the same bytes, whatever the files' times and owners are.
func TestTarballIsReproducible(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "program")
	pack := func(output string, modified time.Time) []byte {
		t.Helper()
		if err := os.WriteFile(file, []byte("content"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(file, modified, modified); err != nil {
			t.Fatal(err)
		}
		if err := writeTarball(filepath.Join(dir, output), "program-1.2.3", []entry{{"program", file}}, testSource()); err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(filepath.Join(dir, output))
		if err != nil {
			t.Fatal(err)
		}
		return content
	}
	first, second := pack("first", time.Unix(1, 0)), pack("second", time.Unix(2, 0))
	if !bytes.Equal(first, second) {
		t.Error("two tarballs of the same content differ")
	}
	zipped, err := gzip.NewReader(bytes.NewReader(first))
	if err != nil {
		t.Fatal(err)
	}
	archive := tar.NewReader(zipped)
	header, err := archive.Next()
	if err != nil {
		t.Fatal(err)
	}
	if header.Name != "program-1.2.3/program" || header.Mode != 0o755 || !header.ModTime.Equal(testSource().Time) || header.Uid != 0 {
		t.Errorf("got %s, mode %o, %v, owner %d; want program-1.2.3/program, 755, the commit's time, root", header.Name, header.Mode, header.ModTime, header.Uid)
	}
	if content, err := io.ReadAll(archive); err != nil || string(content) != "content" {
		t.Errorf("got %q, error %v; want content", content, err)
	}
}

func TestTarballIsWithoutCode(t *testing.T) {
	got := withoutCode([]string{"rules/a.yml", "rules/engine.yml", "rules/engine/README.md", "rules/engine/go.mod", "rules/engine/mutate/a.yml", "rules/rules.go"})
	if want := []string{"rules/a.yml", "rules/engine.yml"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestChecksums(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"b", "a"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := writeChecksums(dir); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(dir, checksums))
	if err != nil {
		t.Fatal(err)
	}
	const empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	if want := empty + "  a\n" + empty + "  b\n"; string(got) != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
