package dashboards

import (
	"bytes"
	"flag"
	"os"
	"testing"
)

var update = flag.Bool("update", false, "write the dashboards' JSON instead of comparing with it")

// TestJSON holds the files that users import to what the code makes.
func TestJSON(t *testing.T) {
	for _, d := range All() {
		want, err := d.JSON()
		if err != nil {
			t.Fatal(err)
		}
		if *update {
			if err := os.WriteFile(d.File(), want, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		got, err := os.ReadFile(d.File())
		if err != nil {
			t.Fatalf("%v: `make dashboards` writes it", err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s isn't what the code makes: run `make dashboards` and look at the difference", d.File())
		}
	}
}
