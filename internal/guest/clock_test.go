//go:build conformance

package guest

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// clockSteps sets the wall clock, as happens to a host that finds a time server, or
// whose battery is empty. Nothing fails meanwhile, is restarted or says anything.
func (h *host) clockSteps(t *testing.T) {
	check := calm(t)
	begin := time.Now() // The monotonic clock in it isn't set.
	present := func() time.Time { return begin.Round(0).Add(time.Since(begin)) }
	t.Cleanup(func() { setClock(t, present()) })
	steps := []struct {
		name string
		to   func() time.Time
	}{
		{"a day ahead", func() time.Time { return present().Add(24 * time.Hour) }},
		{"ten days back", func() time.Time { return present().Add(-10 * 24 * time.Hour) }},
		{"1970", func() time.Time { return time.Unix(3600, 0) }},
		{"the present", present},
	}
	for _, step := range steps {
		setClock(t, step.to())
		for range 3 {
			if err := h.wellBut(); err != nil {
				t.Errorf("%s: %v", step.name, err)
			}
		}
	}
	check()
}

func setClock(t *testing.T, to time.Time) {
	t.Helper()
	spec, err := unix.TimeToTimespec(to)
	if err == nil {
		err = unix.ClockSettime(unix.CLOCK_REALTIME, &spec)
	}
	if err != nil {
		t.Fatalf("set the clock to %v: %v", to, err)
	}
}
