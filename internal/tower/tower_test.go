package tower

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// patience is how long a notification may take: the whole life of a certificate is
// the longest wait, and the machine may have other work.
const patience = 6 * time.Minute

// testDeliverFaster turns the digest's 5 minutes into one second.
const testDeliverFaster = 300

// A course is one Tower with the faults that are put into it one round after another.
// Faults of one round don't touch each other, so that what arrives is still told
// apart.
type course struct {
	name   string
	day    time.Duration
	faster float64
	rounds [][]string
}

// courses run side by side. In the first everything is thirty times faster. What takes
// a certificate's whole life has a Tower of its own, in which a day is short.
func courses() []course {
	return []course{
		{
			name: "at once", day: 24 * time.Hour / 30, faster: 30,
			rounds: [][]string{
				{"client-cert"},
				{"pcr7"},
				{"tpm-wedged", "spire-agent"},
				{"host-gone"},
				{"agent-hangs", "kernel"},
				{"agent-gone", "plugin"},
				{"verifier-down", "spire-server"},
				{"quotes-hang", "bootloader", "chain", "half-written"},
				{"quote"},
				{"verifier-locked", "reboot"},
			},
		},
		{
			name: "in days", day: 270 * time.Second, faster: 40,
			rounds: [][]string{{"renewal", "bundle-timer"}},
		},
	}
}

// TestEveryFaultIsTried holds the courses to the faults.
func TestEveryFaultIsTried(t *testing.T) {
	var tried, known []string
	for _, c := range courses() {
		tried = append(tried, slices.Concat(c.rounds...)...)
	}
	for _, fault := range Faults() {
		known = append(known, fault.Name)
	}
	slices.Sort(tried)
	slices.Sort(known)
	if !slices.Equal(tried, known) {
		t.Errorf("got %q, want %q", tried, known)
	}
}

// TestFaults puts faults into running Towers and holds what Alertmanager delivers
// against what each fault says: those alerts, in that order, nothing else, and all
// of them resolved once the fault is mended.
func TestFaults(t *testing.T) {
	for _, c := range courses() {
		tower := c.start(t) // One after the other: they look for free ports.
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			awaitHealth(t, tower)
			checkDashboards(t, tower, false)
			for _, round := range c.rounds {
				t.Run(strings.Join(round, "+"), func(t *testing.T) { tower.try(t, round) })
			}
		})
	}
}

func (c course) start(t *testing.T) *Tower {
	t.Helper()
	shipped, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "tower")
	if err != nil {
		t.Fatal(err)
	}
	tower, err := Start(t.Context(), Options{
		Dir: dir, Exporter: filepath.Join(shipped, "attestation_exporter"), Shipped: shipped,
		Day: c.day, Faster: c.faster, DeliverFaster: testDeliverFaster, Watched: true, Log: t.Output(),
	})
	if err != nil {
		t.Fatalf("%v (`make test-e2e` builds and unpacks what it needs)", err)
	}
	t.Cleanup(func() {
		tower.Close()
		if t.Failed() {
			t.Logf("logs are in %s", dir)
			return
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return tower
}

// try puts the faults of a round in, waits for what they say, and mends them.
func (tower *Tower) try(t *testing.T, round []string) {
	var faults []Fault
	for _, name := range round {
		fault, err := faultNamed(name)
		if err != nil {
			t.Fatal(err)
		}
		faults = append(faults, fault)
	}
	before, _ := tower.Received()
	news := func(all []Notification) []Notification { return all[len(before):] }
	for _, name := range round {
		if err := tower.Break(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	broken := time.Now()
	for _, fault := range faults {
		for _, alert := range fault.Alerts {
			await(t, tower, alert, func(all []Notification) bool {
				return slices.Contains(names(firing(news(all))), alert)
			})
			t.Logf("%s arrived %.0f s after the fault", alert, time.Since(broken).Seconds())
		}
		for _, alert := range fault.Hidden {
			awaitInhibited(t, tower, alert)
			t.Logf("%s was kept back %.0f s after the fault", alert, time.Since(broken).Seconds())
		}
	}
	checkDashboards(t, tower, slices.Contains(round, "host-gone"))
	if err := tower.Mend(t.Context(), Everything); err != nil {
		t.Fatal(err)
	}
	mended := time.Now()
	await(t, tower, "the end of all alerts", func(all []Notification) bool { return len(open(news(all))) == 0 })
	awaitQuiet(t, tower)
	t.Logf("all resolved %.0f s after mending", time.Since(mended).Seconds())

	all, _ := tower.Received()
	check(t, faults, news(all))
}

// check holds what arrived against what the faults say.
func check(t *testing.T, faults []Fault, news []Notification) {
	t.Helper()
	for _, n := range news {
		t.Log(n.Line())
		checkText(t, n)
	}
	var want []string
	got := names(firing(news))
	for _, fault := range faults {
		want = append(want, fault.Alerts...)
		inOrder := slices.DeleteFunc(slices.Clone(got), func(name string) bool { return !slices.Contains(fault.Alerts, name) })
		if !fault.AnyOrder && !slices.Equal(inOrder, fault.Alerts) {
			t.Errorf("%s: got the order %v, want %v", fault.Name, inOrder, fault.Alerts)
		}
		for alert, text := range fault.Says {
			says := func(n Notification) bool {
				return n.Alert() == alert && strings.Contains(n.Annotations["description"], text)
			}
			if !slices.ContainsFunc(firing(news), says) {
				t.Errorf("%s: no %s says %q", fault.Name, alert, text)
			}
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("notifications: got %v, want %v", got, want)
	}
}

// checkText looks for labels and texts that aren't filled in.
func checkText(t *testing.T, n Notification) {
	t.Helper()
	for _, label := range []string{"severity", "layer"} {
		if n.Labels[label] == "" {
			t.Errorf("%s has no label %s", n.Alert(), label)
		}
	}
	if got, want := n.Labels["host"], "spire.funlab.casa"; got != want {
		t.Errorf("%s: got host %q, want %q", n.Alert(), got, want)
	}
	for _, annotation := range []string{"summary", "description", "runbook_url"} {
		if text := n.Annotations[annotation]; text == "" || strings.Contains(text, "<error expanding") || strings.Contains(text, "no value") {
			t.Errorf("%s has the annotation %s %q", n.Alert(), annotation, text)
		}
	}
}
