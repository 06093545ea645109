package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	// A link's target ends at the first parenthesis: no file of ours has one.
	inlineLink = regexp.MustCompile(`\[[^\]]*\]\(([^)\s]+)\)`)
	heading    = regexp.MustCompile(`(?m)^#{1,6} (.+)$`)
	notInSlug  = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
)

// TestLinksResolve follows each relative link to its file, and each anchor to its
// heading. Links to other sites aren't followed: that would need the network.
func TestLinksResolve(t *testing.T) {
	for _, p := range pages(t) {
		for _, match := range inlineLink.FindAllStringSubmatch(p.prose(), -1) {
			target := match[1]
			if strings.Contains(target, "://") {
				continue
			}
			path, anchor, _ := strings.Cut(target, "#")
			file := p.path
			if path != "" {
				file = filepath.Join(filepath.Dir(p.path), path)
			}
			if _, err := os.Stat(file); err != nil {
				t.Errorf("%s: the link to %s leads nowhere: %v", p.path, target, err)
				continue
			}
			if anchor != "" && !anchors(readPage(t, file))[anchor] {
				t.Errorf("%s: the link to %s names a heading that isn't there", p.path, target)
			}
		}
	}
}

// TestEveryPageIsReached finds a page that no other page links to. Runbooks are
// reached from the table in alerts.md, which rules/pack_test.go holds.
func TestEveryPageIsReached(t *testing.T) {
	reached := map[string]bool{readme: true}
	for _, p := range pages(t) {
		for _, match := range inlineLink.FindAllStringSubmatch(p.prose(), -1) {
			path, _, _ := strings.Cut(match[1], "#")
			if file := filepath.Join(filepath.Dir(p.path), path); file != p.path {
				reached[file] = true
			}
		}
	}
	for _, p := range pages(t) {
		if !reached[p.path] {
			t.Errorf("%s: no page links to it", p.path)
		}
	}
}

// anchors are the names that GitHub and Forgejo give to a page's headings.
func anchors(p page) map[string]bool {
	names := map[string]bool{}
	for _, match := range heading.FindAllStringSubmatch(p.prose(), -1) {
		text := inlineLink.ReplaceAllStringFunc(match[1], func(link string) string {
			return strings.TrimPrefix(strings.SplitN(link, "]", 2)[0], "[")
		})
		slug := notInSlug.ReplaceAllString(strings.ToLower(text), "")
		names[strings.ReplaceAll(slug, " ", "-")] = true
	}
	return names
}
