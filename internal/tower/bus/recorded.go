package bus

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/godbus/dbus/v5"
)

// Load sets the units that were recorded from a real systemd into dir: files named
// UNIT.INTERFACE.json with the answer of Properties.GetAll, and the timers that
// were in memory in ListUnitsByPatterns-timer.json.
func (b *Bus) Load(dir string) error {
	units := map[string]unit{}
	for _, iface := range []string{"Unit", "Timer", "Service"} {
		files, err := filepath.Glob(filepath.Join(dir, "*."+iface+".json"))
		if err != nil {
			return err
		}
		for _, file := range files {
			answer, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			properties, err := ParseProperties(answer)
			if err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
			name := strings.TrimSuffix(filepath.Base(file), "."+iface+".json")
			if units[name].interfaces == nil {
				units[name] = unit{interfaces: map[string]map[string]dbus.Variant{}, listed: true}
			}
			units[name].interfaces[iface] = properties
		}
	}
	listed, err := loadedTimers(filepath.Join(dir, "ListUnitsByPatterns-timer.json"))
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for name, u := range units {
		if filepath.Ext(name) == ".timer" {
			u.listed = listed[name]
		}
		b.units[name] = u
	}
	return nil
}

// loadedTimers returns the names in a recorded answer of ListUnitsByPatterns.
func loadedTimers(file string) (map[string]bool, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var answer struct{ Data [][][]any }
	if err := json.Unmarshal(content, &answer); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	names := map[string]bool{}
	for _, list := range answer.Data {
		for _, status := range list {
			if len(status) > 0 {
				names[fmt.Sprint(status[0])] = true
			}
		}
	}
	return names, nil
}

// ParseProperties reads the answer of Properties.GetAll in busctl's JSON form,
// {"type": "a{sv}", "data": [{NAME: {"type": SIGNATURE, "data": VALUE}}]}. Values
// of other types than numbers, strings, booleans and lists of strings are left out.
func ParseProperties(answer []byte) (map[string]dbus.Variant, error) {
	var message struct {
		Type string
		Data []map[string]struct {
			Type string
			Data json.RawMessage
		}
	}
	if err := json.Unmarshal(answer, &message); err != nil {
		return nil, fmt.Errorf("parse properties: %w", err)
	}
	if message.Type != "a{sv}" || len(message.Data) != 1 {
		return nil, fmt.Errorf("parse properties: %d values of type %q instead of one a{sv}",
			len(message.Data), message.Type)
	}
	properties := make(map[string]dbus.Variant, len(message.Data[0]))
	for name, property := range message.Data[0] {
		value, err := parseValue(property.Type, property.Data)
		if err != nil {
			return nil, fmt.Errorf("parse property %s: %w", name, err)
		}
		if value != nil {
			properties[name] = dbus.MakeVariant(value)
		}
	}
	return properties, nil
}

// parseValue returns the Go value that a D-Bus type is carried by, nil for a type
// that isn't needed here.
func parseValue(signature string, data json.RawMessage) (any, error) {
	switch signature {
	case "s":
		return parse[string](data)
	case "o":
		return parse[dbus.ObjectPath](data)
	case "b":
		return parse[bool](data)
	case "i":
		return parse[int32](data)
	case "u":
		return parse[uint32](data)
	case "x":
		return parse[int64](data)
	case "t":
		return parse[uint64](data)
	case "d":
		return parse[float64](data)
	case "as":
		return parse[[]string](data)
	}
	return nil, nil
}

func parse[T any](data json.RawMessage) (any, error) {
	var value T
	err := json.Unmarshal(data, &value)
	return value, err
}
