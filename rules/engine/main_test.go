package engine_test

import (
	"os"
	"runtime/debug"
	"testing"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/trace/noop"
)

// TestMain lets more garbage lie about: an evaluation makes much of it, little is
// kept, and collecting it took a third of the time. Nor are traces kept that
// nobody reads.
func TestMain(m *testing.M) {
	debug.SetGCPercent(800)
	otel.SetTracerProvider(noop.NewTracerProvider())
	os.Exit(m.Run())
}
