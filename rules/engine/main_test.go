package engine_test

import (
	"os"
	"runtime/debug"
	"testing"
)

// TestMain lets more garbage lie about: an evaluation makes much of it, little is
// kept, and collecting it took a third of the time.
func TestMain(m *testing.M) {
	debug.SetGCPercent(800)
	os.Exit(m.Run())
}
