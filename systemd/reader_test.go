package systemd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"funlab.casa/attestation_exporter/failure"
	"funlab.casa/attestation_exporter/internal/tower/bus"
)

// soon is more than a reading takes on a busy machine. Tests that wait for a
// reading to be cut short use much less.
const soon = 20 * time.Second

func startBus(t testing.TB) *bus.Bus {
	t.Helper()
	// Not t.TempDir, which may be longer than a socket's path can be.
	dir, err := os.MkdirTemp("", "bus")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return startBusIn(t, dir)
}

func startBusIn(t testing.TB, dir string) *bus.Bus {
	t.Helper()
	b, err := bus.Start(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

func newReader(t testing.TB, o Options) *Reader {
	t.Helper()
	r, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

func read(t testing.TB, r *Reader, within time.Duration) (Reading, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	return r.Read(ctx)
}

func mustRead(t testing.TB, r *Reader) Reading {
	t.Helper()
	reading, err := read(t, r, soon)
	if err != nil {
		t.Fatal(err)
	}
	return reading
}

// summary is one word a timer: its name, and = if it is loaded and active, - if
// only loaded, ! if neither.
func summary(reading Reading) string {
	var words []string
	for _, timer := range reading.Timers {
		sign := "!"
		switch {
		case timer.Loaded() && timer.Active():
			sign = "="
		case timer.Loaded():
			sign = "-"
		}
		words = append(words, strings.TrimSuffix(timer.Name, ".timer")+sign)
	}
	return strings.Join(words, " ")
}

func waitingTimer(name string) bus.Timer {
	return bus.Timer{Name: name, States: bus.States{Active: "active", Sub: "waiting", UnitFile: "enabled"}, NextMonotonic: time.Hour}
}

func idleTimer(name, unitFile string) bus.Timer {
	return bus.Timer{Name: name, States: bus.States{UnitFile: unitFile}}
}

func serviceOf(timer string) bus.Service {
	return bus.Service{Name: strings.TrimSuffix(timer, "timer") + "service"}
}

// TestReadRecorded reads the recorded host over a real bus, and finds what the
// recorded files decode to.
func TestReadRecorded(t *testing.T) {
	dir := filepath.Join(recordings, "boot")
	b := startBus(t)
	if err := b.Load(dir); err != nil {
		t.Fatal(err)
	}
	r := newReader(t, Options{Address: b.Address(), Include: ".*", Expected: []string{"nonexistent.timer"}})
	reading := mustRead(t, r)
	files, err := filepath.Glob(filepath.Join(dir, "*.timer.Timer.json"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := len(reading.Timers), len(files); got != want {
		t.Errorf("got %d timers, want %d", got, want)
	}
	for _, got := range reading.Timers {
		want := recordedTimer(t, dir, got.Name)
		// What is monotonic is placed by this host's clock and by that one's.
		got.NextTrigger, want.NextTrigger = time.Time{}, time.Time{}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got\n%+v\nwant\n%+v", got.Name, got, want)
		}
	}
}

func TestReadChooses(t *testing.T) {
	b := startBus(t)
	b.Set(
		waitingTimer("cert-monitor.timer"), serviceOf("cert-monitor.timer"),
		idleTimer("keylime-gc.timer", "enabled"), serviceOf("keylime-gc.timer"),
		idleTimer("renew-keylime-certs.timer", "disabled"), serviceOf("renew-keylime-certs.timer"),
		bus.Timer{Name: "check-keylime-certs.timer", States: bus.States{Load: "masked", UnitFile: "masked"}},
		waitingTimer("backup.timer"), serviceOf("backup.timer"),
		waitingTimer("backup@web.timer"), serviceOf("backup@web.timer"),
		idleTimer("backup@.timer", "enabled"),
		idleTimer("old-backup.timer", "alias"),
		bus.Timer{Name: "reboot.timer", Starts: "reboot.target", States: bus.States{Active: "active", Sub: "waiting", UnitFile: "static"}},
	)
	tests := []struct {
		name    string
		options Options
		want    string
	}{
		{"default", Options{}, "cert-monitor= check-keylime-certs! keylime-gc- renew-keylime-certs-"},
		{"included", Options{Include: `.*backup.*`}, "backup= backup@web="},
		{"the whole name must match", Options{Include: `backup|cert-monitor`}, ""},
		{"alternatives are anchored too", Options{Include: `x|backup.timer`}, "backup="},
		{"expected as well", Options{Include: `backup.timer`, Expected: []string{"reboot.timer"}}, "backup= reboot="},
		{"expected and not there", Options{Include: `no`, Expected: []string{"backup@db.timer", "lost.timer"}}, "backup@db! lost!"},
		{"expected twice", Options{Include: `backup.timer`, Expected: []string{"backup.timer", "backup.timer"}}, "backup="},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.options.Address = b.Address()
			r := newReader(t, tt.options)
			for range 2 { // The second finds the unit files remembered.
				if got := summary(mustRead(t, r)); got != tt.want {
					t.Errorf("got %q, want %q", got, tt.want)
				}
			}
		})
	}
}

func TestReadRemembersWhatWasThere(t *testing.T) {
	b := startBus(t)
	transient := waitingTimer("run-r1.timer")
	transient.Transient, transient.UnitFile = true, ""
	b.Set(waitingTimer("a.timer"), serviceOf("a.timer"), transient, serviceOf("run-r1.timer"))
	r := newReader(t, Options{Address: b.Address(), Include: ".*"})
	steps := []struct {
		name   string
		change func()
		want   string
	}{
		{"at first", func() {}, "a= run-r1="},
		{"the transient one is done", func() { b.Remove("run-r1.timer") }, "a="},
		{"stopped, and no more in memory", func() { b.Set(idleTimer("a.timer", "enabled")) }, "a-"},
		{"uninstalled", func() { b.Remove("a.timer") }, "a!"},
		{"installed again", func() { b.Set(waitingTimer("a.timer")) }, "a="},
		{"its service is gone", func() { b.Remove("a.service") }, "a-"},
	}
	for _, step := range steps {
		step.change()
		if got := summary(mustRead(t, r)); got != step.want {
			t.Errorf("%s: got %q, want %q", step.name, got, step.want)
		}
	}
}

func TestReadRemembersTheLastRun(t *testing.T) {
	b := startBus(t)
	begin := at("2026-11-24T12:00:00Z")
	b.Set(waitingTimer("a.timer"), bus.Service{
		Name: "a.service", States: bus.States{Active: "failed", Sub: "failed"}, Result: "exit-code",
		MainStart: begin, InactiveExit: begin, MainExit: begin.Add(time.Second), InactiveEnter: begin.Add(2 * time.Second),
	})
	r := newReader(t, Options{Address: b.Address(), Include: "a.timer"})
	mustRead(t, r)
	// The next run begins with ExecStartPre=: the main process is the old one.
	b.Set(bus.Service{
		Name: "a.service", States: bus.States{Active: "activating", Sub: "start-pre"},
		MainStart: begin, InactiveExit: begin.Add(time.Hour), MainExit: begin.Add(time.Second), InactiveEnter: begin.Add(2 * time.Second),
	})
	failed := false
	want := Service{
		Name: "a.service", LoadState: "loaded", ActiveState: "activating", SubState: "start-pre", Result: "success",
		LastStart: begin.Add(time.Hour), LastExit: begin.Add(2 * time.Second), Success: &failed,
	}
	if got := *mustRead(t, r).Timers[0].Service; !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
	want.Success = nil
	restarted := newReader(t, Options{Address: b.Address(), Include: "a.timer"})
	if got := *mustRead(t, restarted).Timers[0].Service; !reflect.DeepEqual(got, want) {
		t.Errorf("read for the first time: got\n%+v\nwant\n%+v", got, want)
	}
}

func TestReadSendsTheRest(t *testing.T) {
	tests := []struct {
		name                  string
		unit, iface, property string
		value                 any
		want                  string
		message               string
	}{
		{"type of a state", "b.timer", "Unit", "ActiveState", uint32(1), "a= c=", "timer b.timer: property ActiveState is uint32, not a string"},
		{"type of a moment", "b.timer", "Timer", "LastTriggerUSec", "yesterday", "a= c=", "timer b.timer: property LastTriggerUSec is string, not an unsigned 64-bit number"},
		{"type of a flag", "b.timer", "Unit", "Transient", "yes", "a= c=", "timer b.timer: property Transient is string, not a boolean"},
		{"huge state", "b.timer", "Unit", "SubState", strings.Repeat("x", 1<<20), "a= c=", "timer b.timer: property SubState has 1048576 bytes, more than 64"},
		{"empty state", "b.timer", "Unit", "LoadState", "", "a= c=", "timer b.timer: property LoadState is empty"},
		{"huge name", "b.timer", "Timer", "Unit", strings.Repeat("x", 300), "a= c=", "timer b.timer: property Unit has 300 bytes, more than 255"},
		{"type in a service", "b.service", "Service", "Result", []string{"success"}, "a= b= c=", "service b.service: property Result is []string, not a string"},
		{"signed timestamp", "b.service", "Service", "ExecMainExitTimestamp", int64(-1), "a= b= c=", "service b.service: property ExecMainExitTimestamp is int64, not an unsigned 64-bit number"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := startBus(t)
			for _, name := range []string{"a.timer", "b.timer", "c.timer"} {
				b.Set(waitingTimer(name), serviceOf(name))
			}
			options := Options{Address: b.Address(), Include: ".*", Expected: []string{"a.timer", "b.timer", "c.timer"}}
			if got := summary(mustRead(t, newReader(t, options))); got != "a= b= c=" {
				t.Fatalf("before: got %q", got)
			}
			if err := b.Override(tt.unit, tt.iface, tt.property, tt.value); err != nil {
				t.Fatal(err)
			}
			reading, err := read(t, newReader(t, options), soon)
			if got := summary(reading); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if err == nil || err.Error() != tt.message {
				t.Fatalf("got error %v, want %s", err, tt.message)
			}
			if got, want := failure.Of(err), failure.Malformed; got != want {
				t.Errorf("reason: got %s, want %s", got, want)
			}
		})
	}
}

func TestReadIsBounded(t *testing.T) {
	b := startBus(t)
	for i := range 10_000 {
		b.Set(waitingTimer(fmt.Sprintf("t%04d.timer", i)))
	}
	b.Set(waitingTimer("z.timer"))
	r := newReader(t, Options{Address: b.Address(), Include: `t.*`, Expected: []string{"z.timer", "t0000.timer"}})
	reading, err := read(t, r, soon)
	const message = "10001 timers match, and no more than 512 are read"
	if err == nil || err.Error() != message || failure.Of(err) != failure.Malformed {
		t.Errorf("got error %v, want %s", err, message)
	}
	if got := len(reading.Timers); got != maxTimers {
		t.Errorf("got %d timers, want %d", got, maxTimers)
	}
	if last := reading.Timers[len(reading.Timers)-1].Name; last != "z.timer" {
		t.Errorf("last: got %s, want the one that is expected, z.timer", last)
	}
}

func TestReadIsBoundedInBytes(t *testing.T) {
	b := startBus(t)
	b.Set(waitingTimer("a.timer"), serviceOf("a.timer"), waitingTimer("b.timer"), serviceOf("b.timer"), waitingTimer("c.timer"))
	for _, name := range []string{"a.timer", "b.timer"} {
		if err := b.Override(name, "Unit", "SourcePath", strings.Repeat("x", maxBytes*2/3)); err != nil {
			t.Fatal(err)
		}
	}
	r := newReader(t, Options{Address: b.Address(), Include: ".*"})
	reading, err := read(t, r, soon)
	if got, want := summary(reading), "a="; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if !errors.Is(err, errTooMuch) || failure.Of(err) != failure.Malformed {
		t.Errorf("got error %v, want %v", err, errTooMuch)
	}
	b.Remove("b.timer")
	if got, want := summary(mustRead(t, r)), "a= c-"; got != want {
		t.Errorf("with the connection opened again: got %q, want %q", got, want)
	}
}

// TestEachReadingHasItsBytes reads more over one connection than one reading may.
func TestEachReadingHasItsBytes(t *testing.T) {
	b := startBus(t)
	b.Set(waitingTimer("a.timer"), serviceOf("a.timer"))
	if err := b.Override("a.timer", "Unit", "SourcePath", strings.Repeat("x", maxBytes*2/3)); err != nil {
		t.Fatal(err)
	}
	r := newReader(t, Options{Address: b.Address(), Include: ".*"})
	for range 2 {
		if got, want := summary(mustRead(t, r)), "a="; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// TestUnitFilesAreListedAnew looks at what was installed and never started.
func TestUnitFilesAreListedAnew(t *testing.T) {
	b := startBus(t)
	paths, err := socketPaths(b.Address())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := connect(t.Context(), paths)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.close()
	var listing fileListing
	begin := at("2026-11-24T12:00:00Z")
	b.Set(idleTimer("a.timer", "enabled"))
	steps := []struct {
		name  string
		now   time.Time
		want  []string
		calls int
	}{
		{"at first", begin, []string{"a.timer"}, 1},
		{"just before it is too old", begin.Add(filesEvery - 1), []string{"a.timer"}, 0},
		{"too old", begin.Add(filesEvery), []string{"a.timer", "b.timer"}, 1},
	}
	for _, step := range steps {
		before := b.Calls()
		if err := listing.renew(t.Context(), conn, func(string) bool { return true }, step.now); err != nil {
			t.Fatal(err)
		}
		if got := b.Calls() - before; got != step.calls {
			t.Errorf("%s: got %d calls, want %d", step.name, got, step.calls)
		}
		if !slices.Equal(listing.names, step.want) {
			t.Errorf("%s: got %q, want %q", step.name, listing.names, step.want)
		}
		b.Set(idleTimer("b.timer", "enabled"))
	}
}

func TestNewRefuses(t *testing.T) {
	tests := []struct {
		name    string
		options Options
		want    string
	}{
		{"pattern", Options{Include: "("}, "timers to include: error parsing regexp: missing closing ): `^(?:()$`"},
		{"template", Options{Expected: []string{"renew@.timer"}}, `expected timer: unit name "renew@.timer" is a template: name an instance, such as renew@INSTANCE.timer`},
		{"service", Options{Expected: []string{"renew.service"}}, `expected timer: unit name "renew.service" doesn't end in .timer`},
		{"too many", Options{Expected: slices.Repeat([]string{"a.timer"}, maxTimers+1)}, "expected timers: 513 are more than 512"},
		{"address", Options{Address: "tcp:host=127.0.0.1,port=1"}, `bus address "tcp:host=127.0.0.1,port=1" names no Unix socket (unix:path=…)`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := New(tt.options); err == nil || err.Error() != tt.want {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

func TestReadWhereSystemdIsNot(t *testing.T) {
	dir := t.TempDir()
	missing := filepath.Join(dir, "missing")
	tests := []struct {
		name    string
		address string // DBUS_SYSTEM_BUS_ADDRESS
		booted  string
		check   func(error) bool
		want    string
	}{
		{"not here", "", missing, func(err error) bool { return errors.Is(err, ErrAbsent) }, "ErrAbsent"},
		{"named, and silent", "unix:path=" + missing, missing, func(err error) bool {
			return err != nil && !errors.Is(err, ErrAbsent) && failure.Of(err) == failure.Unreachable
		}, "unreachable"},
		{"named wrongly", "tcp:host=localhost", missing, func(err error) bool {
			return err != nil && !errors.Is(err, ErrAbsent)
		}, "an error"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", tt.address)
			r := newReader(t, Options{})
			r.booted = tt.booted
			if _, err := read(t, r, soon); !tt.check(err) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

func TestSystemBusAddress(t *testing.T) {
	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", "")
	address, promised := systemBusAddress(t.TempDir())
	if address != standardAddress || !promised {
		t.Errorf("booted by systemd: got %q, %v, want %q, true", address, promised, standardAddress)
	}
}
