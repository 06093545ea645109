// Package docs holds the documents to what they describe: links, flags, metrics,
// alerts, rules and code. It doesn't know whether they are well written.
//
// The table of metrics is held by collector's TestReference, the table of alerts
// and the runbooks' headings by rules' tests.
package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const readme = "../README.md"

// A page is one document of the repository.
type page struct {
	path string
	text string
}

// A block is what stands between two fences.
type block struct {
	language string
	text     string
}

var fence = regexp.MustCompile("(?ms)^```([a-z]*)\n(.*?)^```$")

// pages are all documents but the fixtures' notes, which describe recordings.
func pages(t *testing.T) []page {
	t.Helper()
	var paths []string
	for _, pattern := range []string{"../*.md", "../docs/*.md", "../docs/*/*.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, found...)
	}
	if !slices.Contains(paths, readme) {
		t.Fatalf("got pages %q, want %s among them", paths, readme)
	}
	all := make([]page, 0, len(paths))
	for _, path := range paths {
		all = append(all, readPage(t, path))
	}
	return all
}

func readPage(t *testing.T, path string) page {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return page{path: path, text: string(content)}
}

// prose is the page without its fenced blocks.
func (p page) prose() string {
	return fence.ReplaceAllString(p.text, "")
}

func (p page) blocks(languages ...string) []block {
	var found []block
	for _, match := range fence.FindAllStringSubmatch(p.text, -1) {
		if slices.Contains(languages, match[1]) {
			found = append(found, block{language: match[1], text: match[2]})
		}
	}
	return found
}

// TestBlocksNameTheirLanguage keeps a block from escaping the other tests.
func TestBlocksNameTheirLanguage(t *testing.T) {
	for _, p := range pages(t) {
		if n := strings.Count("\n"+p.text, "\n```"); n%2 != 0 {
			t.Errorf("%s: got %d fences, want each to be closed", p.path, n)
		}
		for _, b := range p.blocks("yml") {
			t.Errorf("%s: a block of %q, want yaml:\n%s", p.path, b.language, b.text)
		}
	}
}
