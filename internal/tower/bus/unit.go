package bus

import (
	"cmp"
	"math"
	"path"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"
)

// A Unit is a Timer or a Service.
type Unit interface {
	unit() (name string, u unit)
}

// States are what every unit has. The zero value is a unit that is loaded and does
// nothing, without a unit file.
type States struct {
	Load     string // "" stands for loaded
	Active   string // "" stands for inactive
	Sub      string // "" stands for dead
	UnitFile string // enabled, disabled, masked, alias …
}

// A Timer is a timer unit. Zero moments are none.
type Timer struct {
	Name string
	States
	Starts          string // the unit that it starts; "" stands for the service of the same name
	LastTrigger     time.Time
	NextRealtime    time.Time     // of its OnCalendar= settings
	NextMonotonic   time.Duration // of the others, in CLOCK_MONOTONIC
	Accuracy        time.Duration
	RandomizedDelay time.Duration
	Transient       bool
}

// A Service is a service unit. Zero moments are none.
type Service struct {
	Name string
	States
	Result        string // "" stands for success
	MainStart     time.Time
	MainExit      time.Time
	InactiveExit  time.Time
	InactiveEnter time.Time
}

// infinity is systemd's USEC_INFINITY: nothing is planned.
const infinity = uint64(math.MaxUint64)

// A unit is what goes over the bus: properties by interface, less the prefix that
// all of systemd's interfaces have.
type unit struct {
	interfaces map[string]map[string]dbus.Variant
	listed     bool // held in memory by systemd, and so in ListUnits
}

// text returns a property of the interface Unit, "" if it isn't text.
func (u unit) text(property string) string {
	value, _ := u.interfaces["Unit"][property].Value().(string)
	return value
}

// Set adds units, or puts them in the place of those of the same name, which is a
// change of their state.
func (b *Bus) Set(units ...Unit) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, set := range units {
		name, u := set.unit()
		b.changes++
		u.interfaces["Unit"]["StateChangeTimestampMonotonic"] = dbus.MakeVariant(b.changes)
		b.units[name] = u
	}
}

// Remove takes a unit away, as if its file had been deleted.
func (b *Bus) Remove(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.units, name)
}

// unit says that systemd holds a timer in memory if it is started, since nothing
// else refers to timers.
func (t Timer) unit() (string, unit) {
	if t.Starts == "" {
		t.Starts = strings.TrimSuffix(t.Name, path.Ext(t.Name)) + ".service"
	}
	realtime, monotonic := usec(t.NextRealtime), uint64(t.NextMonotonic.Microseconds())
	if realtime == 0 && monotonic == 0 {
		realtime, monotonic = infinity, infinity
	}
	common := t.properties(t.Name)
	common["Transient"] = dbus.MakeVariant(t.Transient)
	return t.Name, unit{
		listed: t.Active != "" && t.Active != "inactive",
		interfaces: map[string]map[string]dbus.Variant{
			"Unit": common,
			"Timer": variants(map[string]any{
				"Unit":                    t.Starts,
				"LastTriggerUSec":         usec(t.LastTrigger),
				"NextElapseUSecRealtime":  realtime,
				"NextElapseUSecMonotonic": monotonic,
				"AccuracyUSec":            uint64(t.Accuracy.Microseconds()),
				"RandomizedDelayUSec":     uint64(t.RandomizedDelay.Microseconds()),
			}),
		},
	}
}

// unit says that systemd holds a service in memory, since a timer refers to it.
func (s Service) unit() (string, unit) {
	common := s.properties(s.Name)
	common["InactiveExitTimestamp"] = dbus.MakeVariant(usec(s.InactiveExit))
	common["InactiveEnterTimestamp"] = dbus.MakeVariant(usec(s.InactiveEnter))
	return s.Name, unit{
		listed: true,
		interfaces: map[string]map[string]dbus.Variant{
			"Unit": common,
			"Service": variants(map[string]any{
				"Result":                 cmp.Or(s.Result, "success"),
				"ExecMainStartTimestamp": usec(s.MainStart),
				"ExecMainExitTimestamp":  usec(s.MainExit),
			}),
		},
	}
}

func (s States) properties(name string) map[string]dbus.Variant {
	return variants(map[string]any{
		"Id":                     name,
		"Description":            name,
		"LoadState":              cmp.Or(s.Load, "loaded"),
		"ActiveState":            cmp.Or(s.Active, "inactive"),
		"SubState":               cmp.Or(s.Sub, "dead"),
		"UnitFileState":          s.UnitFile,
		"Transient":              false,
		"InactiveExitTimestamp":  uint64(0),
		"InactiveEnterTimestamp": uint64(0),

		"StateChangeTimestampMonotonic": uint64(0),
	})
}

// notFound is what systemd makes of a name without a unit file.
func notFound(name string) unit {
	states := States{Load: "not-found"}
	if path.Ext(name) == ".timer" {
		_, u := Timer{Name: name, States: states, Accuracy: time.Minute}.unit()
		return u
	}
	_, u := Service{Name: name, States: states}.unit()
	return u
}

func variants(values map[string]any) map[string]dbus.Variant {
	properties := make(map[string]dbus.Variant, len(values))
	for name, value := range values {
		properties[name] = dbus.MakeVariant(value)
	}
	return properties
}

// usec gives a moment in microseconds since 1970, 0 for none.
func usec(t time.Time) uint64 {
	if t.IsZero() {
		return 0
	}
	return uint64(t.UnixMicro())
}
