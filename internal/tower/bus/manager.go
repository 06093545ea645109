package bus

import (
	"fmt"
	"maps"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/godbus/dbus/v5"
)

// A unitStatus is what ListUnits tells of a unit, D-Bus type (ssssssouso).
type unitStatus struct {
	Name, Description, LoadState, ActiveState, SubState, Followed string
	Path                                                          dbus.ObjectPath
	JobID                                                         uint32
	JobType                                                       string
	JobPath                                                       dbus.ObjectPath
}

// A unitFile is what ListUnitFiles tells of a file, D-Bus type (ss).
type unitFile struct {
	Path, State string
}

// export offers the methods. Those of a unit are served for the whole tree, since
// systemd answers for any unit that somebody names.
func (b *Bus) export() error {
	err := b.conn.ExportMethodTable(map[string]any{
		"GetUnit":                 b.getUnit,
		"LoadUnit":                b.loadUnit,
		"ListUnits":               b.listUnits,
		"ListUnitsByPatterns":     b.listUnitsByPatterns,
		"ListUnitFiles":           b.listUnitFiles,
		"ListUnitFilesByPatterns": b.listUnitFilesByPatterns,
		"Subscribe":               b.subscribe,
	}, managerPath, busName+".Manager")
	if err != nil {
		return err
	}
	return b.conn.ExportSubtreeMethodTable(map[string]any{
		"Get":    b.get,
		"GetAll": b.getAll,
	}, unitPath, "org.freedesktop.DBus.Properties")
}

func (b *Bus) subscribe() *dbus.Error {
	b.enter()
	return nil
}

func (b *Bus) getUnit(name string) (dbus.ObjectPath, *dbus.Error) {
	b.enter()
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.units[name].listed {
		return "", replyError(busName+".NoSuchUnit", "Unit %s not loaded.", name)
	}
	return objectPath(name), nil
}

func (b *Bus) loadUnit(name string) (dbus.ObjectPath, *dbus.Error) {
	b.enter()
	if strings.Contains(name, "/") {
		return "", replyError("org.freedesktop.DBus.Error.InvalidArgs", "Unit name %s is not valid.", name)
	}
	return objectPath(name), nil
}

func (b *Bus) listUnits() ([]unitStatus, *dbus.Error) {
	return b.listUnitsByPatterns(nil, nil)
}

func (b *Bus) listUnitsByPatterns(states, patterns []string) ([]unitStatus, *dbus.Error) {
	b.enter()
	b.mu.Lock()
	defer b.mu.Unlock()
	list := []unitStatus{}
	for _, name := range slices.Sorted(maps.Keys(b.units)) {
		u := b.units[name]
		status := unitStatus{
			Name:        name,
			Description: u.text("Description"),
			LoadState:   u.text("LoadState"),
			ActiveState: u.text("ActiveState"),
			SubState:    u.text("SubState"),
			Path:        objectPath(name),
			JobPath:     "/",
		}
		wanted := len(states) == 0 || slices.Contains(states, status.LoadState) ||
			slices.Contains(states, status.ActiveState) || slices.Contains(states, status.SubState)
		if u.listed && wanted && matches(patterns, name) {
			list = append(list, status)
		}
	}
	return list, nil
}

func (b *Bus) listUnitFiles() ([]unitFile, *dbus.Error) {
	return b.listUnitFilesByPatterns(nil, nil)
}

func (b *Bus) listUnitFilesByPatterns(states, patterns []string) ([]unitFile, *dbus.Error) {
	b.enter()
	b.mu.Lock()
	defer b.mu.Unlock()
	list := []unitFile{}
	for _, name := range slices.Sorted(maps.Keys(b.units)) {
		state := b.units[name].text("UnitFileState")
		wanted := len(states) == 0 || slices.Contains(states, state)
		if state != "" && wanted && matches(patterns, name) {
			list = append(list, unitFile{Path: "/etc/systemd/system/" + name, State: state})
		}
	}
	return list, nil
}

func (b *Bus) get(msg dbus.Message, iface, property string) (dbus.Variant, *dbus.Error) {
	all, err := b.getAll(msg, iface)
	if err != nil {
		return dbus.Variant{}, err
	}
	value, ok := all[property]
	if !ok {
		return dbus.Variant{}, replyError("org.freedesktop.DBus.Error.UnknownProperty",
			"Unknown interface %s or property %s.", iface, property)
	}
	return value, nil
}

// getAll gives the properties of one interface, or of all for the empty name, as
// systemd does. A unit that nobody set is one that systemd didn't find.
func (b *Bus) getAll(msg dbus.Message, iface string) (map[string]dbus.Variant, *dbus.Error) {
	b.enter()
	requested, _ := msg.Headers[dbus.FieldPath].Value().(dbus.ObjectPath)
	name, err := unitName(requested)
	if err != nil {
		return nil, replyError("org.freedesktop.DBus.Error.UnknownObject", "Unknown object '%s'.", requested)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	u, ok := b.units[name]
	if !ok {
		u = notFound(name)
	}
	if iface != "" {
		properties, ok := u.interfaces[strings.TrimPrefix(iface, busName+".")]
		if !ok {
			return nil, replyError("org.freedesktop.DBus.Error.UnknownInterface", "Unknown interface '%s'.", iface)
		}
		return maps.Clone(properties), nil
	}
	all := map[string]dbus.Variant{}
	for _, properties := range u.interfaces {
		maps.Copy(all, properties)
	}
	return all, nil
}

// objectPath escapes a unit's name for the object tree: every byte that isn't an
// ASCII letter or digit, and a digit in front, as _ and two hexadecimal digits.
func objectPath(name string) dbus.ObjectPath {
	var escaped strings.Builder
	for i, c := range []byte(name) {
		digit := '0' <= c && c <= '9'
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || digit && i > 0 {
			escaped.WriteByte(c)
			continue
		}
		fmt.Fprintf(&escaped, "_%02x", c)
	}
	return dbus.ObjectPath(unitPath + "/" + escaped.String())
}

// unitName is the inverse of objectPath. An object path has no percent sign, so
// the escapes are a URL's in all but the sign.
func unitName(p dbus.ObjectPath) (string, error) {
	return url.PathUnescape(strings.ReplaceAll(path.Base(string(p)), "_", "%"))
}

func matches(patterns []string, name string) bool {
	if len(patterns) == 0 {
		return true
	}
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		matched, err := path.Match(pattern, name)
		return err == nil && matched
	})
}

func replyError(name, format string, args ...any) *dbus.Error {
	return dbus.NewError(name, []any{fmt.Sprintf(format, args...)})
}
