package docs

import (
	"regexp"
	"testing"
)

// TestFiguresAreMeasured looks each figure of scale.md up where it was measured, so
// that a new measurement doesn't leave an old one standing.
func TestFiguresAreMeasured(t *testing.T) {
	measured := readPage(t, "../docs/performance.md").text + readPage(t, "../docs/keylime.md").text
	figure := regexp.MustCompile(`[0-9][0-9.,–]* (?:ms|s|MiB|MB|series)\b`)
	found := figure.FindAllString(readPage(t, "../docs/scale.md").prose(), -1)
	if len(found) == 0 {
		t.Error("scale.md: got no figure, want some")
	}
	for _, text := range found {
		whole := regexp.MustCompile(`(?:^|[^0-9.,–])` + regexp.QuoteMeta(text) + `\b`)
		if !whole.MatchString(measured) {
			t.Errorf("scale.md: %q stands in neither performance.md nor keylime.md", text)
		}
	}
}
