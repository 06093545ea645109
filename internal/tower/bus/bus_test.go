package bus

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
)

const recordings = "../../../testdata/systemd/boot"

func start(t *testing.T) (*Bus, *dbus.Conn) {
	t.Helper()
	// Not t.TempDir, which may be longer than a socket's path can be.
	dir, err := os.MkdirTemp("", "bus")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	b, err := Start(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	conn, err := dbus.Connect(b.Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return b, conn
}

func call(t *testing.T, conn *dbus.Conn, path dbus.ObjectPath, method string, arguments ...any) *dbus.Call {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	return conn.Object(busName, path).CallWithContext(ctx, method, 0, arguments...)
}

func getAll(t *testing.T, conn *dbus.Conn, unit, iface string) map[string]dbus.Variant {
	t.Helper()
	var properties map[string]dbus.Variant
	err := call(t, conn, objectPath(unit), "org.freedesktop.DBus.Properties.GetAll", iface).Store(&properties)
	if err != nil {
		t.Fatalf("GetAll of %s: %v", unit, err)
	}
	return properties
}

// TestPropertiesAreSystemds holds the names and types of what the stand-in makes
// up to what a real systemd answered.
func TestPropertiesAreSystemds(t *testing.T) {
	b, conn := start(t)
	b.Set(Timer{Name: "cert-monitor.timer"}, Service{Name: "cert-monitor.service"})
	tests := []struct{ unit, iface string }{
		{"cert-monitor.timer", "Unit"},
		{"cert-monitor.timer", "Timer"},
		{"cert-monitor.service", "Unit"},
		{"cert-monitor.service", "Service"},
		{"nonexistent.timer", "Unit"},
		{"nonexistent.timer", "Timer"},
		{"nonexistent.service", "Unit"},
		{"nonexistent.service", "Service"},
	}
	for _, tt := range tests {
		t.Run(tt.unit+" "+tt.iface, func(t *testing.T) {
			content, err := os.ReadFile(filepath.Join(recordings, tt.unit+"."+tt.iface+".json"))
			if err != nil {
				t.Fatal(err)
			}
			want, err := ParseProperties(content)
			if err != nil {
				t.Fatal(err)
			}
			got := getAll(t, conn, tt.unit, busName+"."+tt.iface)
			if len(got) == 0 {
				t.Error("got no properties")
			}
			for name, value := range got {
				if got, want := value.Signature(), want[name].Signature(); got != want {
					t.Errorf("%s: got type %q, want %q", name, got, want)
				}
			}
			if strings.HasPrefix(tt.unit, "nonexistent") && tt.iface == "Unit" {
				for _, state := range []string{"LoadState", "ActiveState", "SubState", "UnitFileState"} {
					if got, want := got[state].Value(), want[state].Value(); got != want {
						t.Errorf("%s: got %v, want %v", state, got, want)
					}
				}
			}
		})
	}
}

func TestInfinity(t *testing.T) {
	b, conn := start(t)
	b.Set(
		Timer{Name: "idle.timer"},
		Timer{Name: "calendar.timer", NextRealtime: time.UnixMicro(5)},
		Timer{Name: "boot.timer", NextMonotonic: time.Minute},
	)
	tests := []struct {
		unit                string
		realtime, monotonic uint64
	}{
		{"idle.timer", infinity, infinity},
		{"calendar.timer", 5, 0},
		{"boot.timer", 0, 60_000_000},
	}
	for _, tt := range tests {
		t.Run(tt.unit, func(t *testing.T) {
			got := getAll(t, conn, tt.unit, busName+".Timer")
			if got := got["NextElapseUSecRealtime"].Value(); got != tt.realtime {
				t.Errorf("realtime: got %v, want %d", got, tt.realtime)
			}
			if got := got["NextElapseUSecMonotonic"].Value(); got != tt.monotonic {
				t.Errorf("monotonic: got %v, want %d", got, tt.monotonic)
			}
		})
	}
}

// TestLoad serves recorded answers as they were recorded.
func TestLoad(t *testing.T) {
	b, conn := start(t)
	if err := b.Load(recordings); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(recordings, "lab-target@one.service.Service.json"))
	if err != nil {
		t.Fatal(err)
	}
	want, err := ParseProperties(content)
	if err != nil {
		t.Fatal(err)
	}
	got := getAll(t, conn, "lab-target@one.service", busName+".Service")
	if !maps.EqualFunc(got, want, func(a, b dbus.Variant) bool { return a.String() == b.String() }) {
		t.Errorf("got\n%v\nwant\n%v", got, want)
	}
	listed, err := loadedTimers(filepath.Join(recordings, "ListUnitsByPatterns-timer.json"))
	if err != nil {
		t.Fatal(err)
	}
	var units []unitStatus
	if err := call(t, conn, managerPath, busName+".Manager.ListUnitsByPatterns", []string{}, []string{"lab-*.timer"}).Store(&units); err != nil {
		t.Fatal(err)
	}
	for _, unit := range units {
		if !listed[unit.Name] {
			t.Errorf("got %s, which the real systemd didn't list", unit.Name)
		}
	}
	if got, want := len(units), 11; got != want {
		t.Errorf("got %d units, want %d", got, want)
	}
}

func TestListings(t *testing.T) {
	b, conn := start(t)
	b.Set(
		Timer{Name: "a.timer", States: States{Active: "active", Sub: "waiting", UnitFile: "enabled"}},
		Timer{Name: "b.timer", States: States{UnitFile: "disabled"}},
		Timer{Name: "c.timer", States: States{Active: "active", Sub: "elapsed"}},
		Service{Name: "a.service"},
	)
	units := func(method string, arguments ...any) []string {
		var answer []unitStatus
		if err := call(t, conn, managerPath, busName+".Manager."+method, arguments...).Store(&answer); err != nil {
			t.Fatalf("%s: %v", method, err)
		}
		var names []string
		for _, unit := range answer {
			names = append(names, unit.Name)
		}
		return names
	}
	files := func(method string, arguments ...any) []string {
		var answer []unitFile
		if err := call(t, conn, managerPath, busName+".Manager."+method, arguments...).Store(&answer); err != nil {
			t.Fatalf("%s: %v", method, err)
		}
		var names []string
		for _, file := range answer {
			names = append(names, filepath.Base(file.Path)+" "+file.State)
		}
		return names
	}
	none, timers := []string{}, []string{"*.timer"}
	tests := []struct {
		name      string
		got, want []string
	}{
		{"units", units("ListUnits"), []string{"a.service", "a.timer", "c.timer"}},
		{"units by pattern", units("ListUnitsByPatterns", none, timers), []string{"a.timer", "c.timer"}},
		{"units by state", units("ListUnitsByPatterns", []string{"waiting"}, none), []string{"a.timer"}},
		{"files", files("ListUnitFiles"), []string{"a.timer enabled", "b.timer disabled"}},
		{"files by pattern", files("ListUnitFilesByPatterns", none, []string{"b*"}), []string{"b.timer disabled"}},
		{"files by state", files("ListUnitFilesByPatterns", []string{"enabled"}, none), []string{"a.timer enabled"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if !slices.Equal(tt.got, tt.want) {
				t.Errorf("got %q, want %q", tt.got, tt.want)
			}
		})
	}
}

// TestErrors asks what the recorded errors.txt answers.
func TestErrors(t *testing.T) {
	b, conn := start(t)
	b.Set(Service{Name: "cert-monitor.service"}, Timer{Name: "cert-monitor.timer"})
	const get = "org.freedesktop.DBus.Properties.Get"
	tests := []struct {
		name      string
		path      dbus.ObjectPath
		method    string
		arguments []any
		want      string
	}{
		{"unit not loaded", managerPath, busName + ".Manager.GetUnit", []any{"nonexistent.timer"}, "org.freedesktop.systemd1.NoSuchUnit"},
		{"name with a slash", managerPath, busName + ".Manager.LoadUnit", []any{"bad/name.timer"}, "org.freedesktop.DBus.Error.InvalidArgs"},
		{"unit to be loaded", managerPath, busName + ".Manager.LoadUnit", []any{"nonexistent.timer"}, ""},
		{"subscription", managerPath, busName + ".Manager.Subscribe", nil, ""},
		{"other interface", objectPath("cert-monitor.service"), "org.freedesktop.DBus.Properties.GetAll", []any{busName + ".Timer"}, "org.freedesktop.DBus.Error.UnknownInterface"},
		{"no such property", objectPath("cert-monitor.timer"), get, []any{busName + ".Timer", "NoSuch"}, "org.freedesktop.DBus.Error.UnknownProperty"},
		{"property", objectPath("cert-monitor.timer"), get, []any{busName + ".Timer", "Unit"}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := call(t, conn, tt.path, tt.method, tt.arguments...).Err
			var got dbus.Error
			if errors.As(err, &got); got.Name != tt.want || (err == nil) != (tt.want == "") {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestObjectPath(t *testing.T) {
	for unit, want := range map[string]dbus.ObjectPath{
		"cert-monitor.timer":     unitPath + "/cert_2dmonitor_2etimer",
		"lab-target@one.service": unitPath + "/lab_2dtarget_40one_2eservice",
		"7z.timer":               unitPath + "/_37z_2etimer",
		`a\x2db.timer`:           unitPath + "/a_5cx2db_2etimer",
	} {
		if got := objectPath(unit); got != want {
			t.Errorf("objectPath(%q): got %s, want %s", unit, got, want)
		}
		if got, err := unitName(want); got != unit || err != nil {
			t.Errorf("unitName(%s): got %q, %v, want %q", want, got, err, unit)
		}
	}
}

func TestStartRefuses(t *testing.T) {
	for _, dir := range []string{filepath.Join(t.TempDir(), "missing"), "/" + strings.Repeat("x", maxSocketPath)} {
		if b, err := Start(t.Context(), dir); err == nil {
			b.Close()
			t.Errorf("in %s: got no error", dir)
		}
	}
}

func TestCloseIsThorough(t *testing.T) {
	dir, err := os.MkdirTemp("", "bus")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	for range 3 { // The socket of the one before must not be in the way.
		b, err := Start(context.Background(), dir)
		if err != nil {
			t.Fatal(err)
		}
		b.Hang()
		b.Close()
		if _, err := dbus.Connect(b.Address()); err == nil {
			t.Error("the daemon still answers")
		}
	}
}
