package docs

import (
	"regexp"
	"strings"
	"testing"
)

// TestQuotationsAreTrue finds each block of Go in the file that the text before it
// named last. The files themselves are compiled and tested like all others.
func TestQuotationsAreTrue(t *testing.T) {
	const contributing = "../CONTRIBUTING.md"
	source := regexp.MustCompile("`([a-z_/]+\\.go)`")
	p := readPage(t, contributing)
	quotations := 0
	file := ""
	rest := p.text
	for {
		at := fence.FindStringSubmatchIndex(rest)
		if at == nil {
			break
		}
		if named := source.FindAllStringSubmatch(rest[:at[0]], -1); named != nil {
			file = named[len(named)-1][1]
		}
		language, text := rest[at[2]:at[3]], rest[at[4]:at[5]]
		rest = rest[at[1]:]
		if language != "go" {
			continue
		}
		quotations++
		if !strings.Contains(readPage(t, "../"+file).text, text) {
			t.Errorf("%s: this isn't in %s:\n%s", contributing, file, text)
		}
	}
	if quotations == 0 {
		t.Errorf("%s: got no quotation, want some", contributing)
	}
}
