package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestEvidenceExists looks for each test that a page gives as evidence. In which
// package it is isn't compared; TestReliabilityPage does that for reliability.md.
func TestEvidenceExists(t *testing.T) {
	known := tests(t)
	quoted := regexp.MustCompile("`((?:Test|Benchmark|Fuzz)[A-Z]\\w*)[^`]*`")
	found := 0
	for _, p := range pages(t) {
		for _, match := range quoted.FindAllStringSubmatch(p.prose(), -1) {
			found++
			if !known[match[1]] {
				t.Errorf("%s: no test is called %s", p.path, match[1])
			}
		}
	}
	if found == 0 {
		t.Error("no page names a test: this one looks at nothing")
	}
}

// tests are the names of all tests, benchmarks and fuzz targets of the module.
func tests(t *testing.T) map[string]bool {
	t.Helper()
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Benchmark|Fuzz)[A-Z]\w*)\(`)
	known := map[string]bool{}
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != ".." && strings.HasPrefix(entry.Name(), "."):
			return fs.SkipDir
		case !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, match := range declared.FindAllStringSubmatch(string(content), -1) {
			known[match[1]] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return known
}
