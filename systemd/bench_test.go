package systemd

import (
	"path/filepath"
	"testing"
)

// BenchmarkRead reads the reference deployment's seven timers and their services,
// with all the properties that a real systemd gave.
func BenchmarkRead(b *testing.B) {
	stand := startBus(b)
	if err := stand.Load(filepath.Join(recordings, "boot")); err != nil {
		b.Fatal(err)
	}
	r := newReader(b, Options{Address: stand.Address()})
	if got := len(mustRead(b, r).Timers); got != 7 {
		b.Fatalf("got %d timers, want 7", got)
	}
	before := stand.Calls()
	b.ReportAllocs()
	for b.Loop() {
		mustRead(b, r)
	}
	b.ReportMetric(float64(stand.Calls()-before)/float64(b.N), "calls/op")
}
