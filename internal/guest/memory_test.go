//go:build conformance

package guest

import (
	"fmt"
	"os"
	"regexp"
	"testing"
	"time"
)

// memoryEnds has more scrapers come at once than are served, under a limit that the
// kernel enforces by killing. Scrapes may be refused, or late, and nobody is killed.
// Under a limit beneath what the exporter holds the kernel does kill it, and with
// room again it is back by itself.
func (h *host) memoryEnds(t *testing.T) {
	limit := func(unit, to string) { command(t, "systemctl", "set-property", "--runtime", unit, "MemoryMax="+to) }
	before := map[string]int{}
	for _, unit := range units() {
		before[unit] = pid(t, unit)
		limit(unit, "32M")
		t.Cleanup(func() { limit(unit, "infinity") })
	}
	served := 0
	for _, page := range atOnce(60, 10*time.Second) {
		if page.err == nil {
			served++
		}
	}
	eventually(t, startTime, func() error { return h.wellBut() })
	t.Logf("%d of 60 scrapes at once were served", served)
	for _, unit := range units() {
		t.Logf("%s: %s bytes at the peak", unit, memory(t, unit, "peak", `(\d+)`))
		if kills := memory(t, unit, "events", `(?m)^oom_kill (\d+)`); kills != "0" {
			t.Errorf("%s: got %s processes killed under 32 MiB, want none", unit, kills)
		}
		if now := pid(t, unit); now != before[unit] {
			t.Errorf("%s: got process %d, want %d as before", unit, now, before[unit])
		}
	}

	limit(exporter, "4M")
	limit(exporter, "32M")
	eventually(t, startTime, func() error {
		if now := pid(t, exporter); now == 0 || now == before[exporter] {
			return fmt.Errorf("got process %d, want another than %d", now, before[exporter])
		}
		return h.wellBut()
	})
	h.noteProcesses(t)
}

// memory is a number that the kernel says of the memory of a unit's control group.
func memory(t *testing.T, unit, file, number string) string {
	t.Helper()
	text, err := os.ReadFile("/sys/fs/cgroup/system.slice/" + unit + "/memory." + file)
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(number).FindSubmatch(text)
	if found == nil {
		t.Fatalf("got memory.%s of %s\n%s\nwant %s in it", file, unit, text, number)
	}
	return string(found[1])
}
