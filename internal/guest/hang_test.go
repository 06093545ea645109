//go:build conformance

package guest

import (
	"errors"
	"testing"
	"time"
)

const (
	hungScrapers = 4
	hungRounds   = 4
	// hungTimeout is the shortest in which an emulated processor serves that many
	// scrapers at once.
	hungTimeout = 3 * time.Second
	// slack is for the reading that hangs, and for threads that the Go runtime keeps.
	// One of anything for each scrape would be more.
	slack = 6
)

// hungFUSE lets the exporter, alone for once, meet a file system whose server answers
// nothing, then dies, then is unmounted.
func (h *host) hungFUSE(t *testing.T) {
	command(t, "systemctl", "stop", socket, reader)
	t.Cleanup(func() {
		command(t, "systemctl", "start", socket)
		eventually(t, startTime, func() error { return h.wellBut() })
		h.noteProcesses(t)
	})
	before := h.usedByScrapers(t, "boot", "luks", "reader")
	die, unmount := stallFUSE(t, h.hung)
	h.scrapeHung(t, before, "boot", "certificate", "luks", "reader")
	die()
	eventually(t, startTime, func() error {
		p := scrape(startTime)
		return errors.Join(p.failed("boot", "luks", "reader"), p.has(h.well...), p.has(h.files[0], h.unreadable), p.hasNot(h.files[1]))
	})
	unmount()
	h.recovered(t, before, "boot", "luks", "reader")
}

// hungDevice lets the reader meet a device that doesn't answer.
func (h *host) hungDevice(t *testing.T) {
	before := h.usedByScrapers(t)
	resume := stallDevice(t, h.hung, h.certificate)
	h.scrapeHung(t, before, "certificate")
	if got := uninterruptible(t, reader); got != 1 {
		t.Errorf("got %d threads of the reader that no signal wakes, want 1", got)
	}
	resume()
	h.recovered(t, before)
}

// usedByScrapers is what is held after scrapes at once, with just these collectors
// failing.
func (h *host) usedByScrapers(t *testing.T, failing ...string) usage {
	t.Helper()
	atOnce(hungScrapers, startTime)
	eventually(t, startTime, func() error { return h.wellBut(failing...) })
	return used(t)
}

// scrapeHung scrapes while files hang. Each scrape is served in its time with all the
// rest, and just these collectors fail. Little more is held than before.
func (h *host) scrapeHung(t *testing.T, before usage, failing ...string) {
	t.Helper()
	var longest time.Duration
	for range hungRounds {
		for _, p := range atOnce(hungScrapers, hungTimeout) {
			longest = max(longest, p.took)
			if err := errors.Join(p.failed(failing...), p.has(h.well...), p.hasNot(h.files...)); err != nil {
				t.Errorf("while it hangs: %v", err)
			}
		}
	}
	t.Logf("%d scrapes with a timeout of %v, the longest %v", hungScrapers*hungRounds, hungTimeout, longest.Round(time.Millisecond))
	checkGrowth(t, "while it hangs", before)
}

// recovered waits until everything is there again, and little is held that wasn't
// before.
func (h *host) recovered(t *testing.T, before usage, failing ...string) {
	t.Helper()
	eventually(t, startTime, func() error { return h.wellBut(failing...) })
	checkGrowth(t, "afterwards", before)
}

func checkGrowth(t *testing.T, when string, before usage) {
	t.Helper()
	now := used(t)
	t.Logf("%s: got %v, before %v", when, now, before)
	if err := now.grown(before, slack); err != nil {
		t.Errorf("%s: %v", when, err)
	}
}
