package status

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fixtureNow is the moment at which the expositions in testdata are healthy.
const fixtureNow = 1800000000

var update = flag.Bool("update", false, "write golden files instead of comparing with them")

// fixture reads an exposition with some of its text replaced, in pairs. A pair that
// replaces nothing is a mistake of the test's.
func fixture(t testing.TB, name string, edits ...string) Samples {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("../testdata/status", name))
	if err != nil {
		t.Fatal(err)
	}
	text := string(content)
	for i := 0; i+1 < len(edits); i += 2 {
		changed := strings.ReplaceAll(text, edits[i], edits[i+1])
		if changed == text {
			t.Fatalf("%s: nothing to replace for %q", name, edits[i])
		}
		text = changed
	}
	samples, err := Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return samples
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", path, got, want)
	}
}
