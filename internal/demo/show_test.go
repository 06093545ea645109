package main

import (
	"strings"
	"testing"
)

func TestTellWhatToExpect(t *testing.T) {
	var out strings.Builder
	tellWhatToExpect(&out, "spire-server")
	want := `spire-server: the SPIRE server is stopped; the agents serve on until their own SVIDs end.
The demo's terminal will show SPIREServerDown.
Afterwards: make demo-mend FAULT=spire-server
`
	if got := out.String(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
