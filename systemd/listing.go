package systemd

import (
	"context"
	"fmt"
	"path"
	"strings"
	"time"
)

// filesEvery is how long a list of unit files is used. systemd reads the folders
// and each file anew to make one, in its only thread: it takes it 25 times as long
// as to list the units that it has in memory.
const filesEvery = 5 * time.Minute

// anyTimer is systemd's pattern for timers, which are told apart here.
const anyTimer = "*.timer"

// states are what the list of units tells of each.
type states struct{ load, active, sub string }

// addTo completes the properties of the interface Timer. A timer that was seen
// before is none of those that go when their work is done.
func (s states) addTo(values map[string]any) {
	values["LoadState"], values["ActiveState"], values["SubState"] = s.load, s.active, s.sub
	values["Transient"] = false
}

// loaded lists the timers that systemd holds in memory, those that run and those
// that something refers to, and the services that are known.
func (c *connection) loaded(ctx context.Context, known map[string]knownService) (map[string]states, error) {
	patterns := []string{anyTimer}
	for _, service := range known {
		patterns = append(patterns, strings.ReplaceAll(service.Name, `\`, `\\`))
	}
	units, err := c.ListUnitsByPatternsContext(ctx, []string{}, patterns)
	if err != nil {
		return nil, fmt.Errorf("list the loaded timers: %w", cause(ctx, err))
	}
	listed := make(map[string]states, len(units))
	for _, unit := range units {
		listed[unit.Name] = states{unit.LoadState, unit.ActiveState, unit.SubState}
	}
	return listed, nil
}

// A fileListing knows the timers that have a unit file. Only this finds a timer
// that nobody started, or that was stopped before this process began: systemd
// drops it from memory. What it gives is where to look, and never what is served.
type fileListing struct {
	names []string
	until time.Time
}

// renew lists the files anew when the list is too old. Aliases are left out, since
// the file that they stand for is there as well. So are templates: keep refuses
// them, as no valid name of a unit.
func (l *fileListing) renew(ctx context.Context, conn *connection, keep func(string) bool, now time.Time) error {
	if now.Before(l.until) {
		return nil
	}
	files, err := conn.ListUnitFilesByPatternsContext(ctx, []string{}, []string{anyTimer})
	if err != nil {
		return fmt.Errorf("list the unit files: %w", cause(ctx, err))
	}
	l.names = nil
	for _, file := range files {
		if name := path.Base(file.Path); file.Type != "alias" && keep(name) {
			l.names = append(l.names, name)
		}
	}
	l.until = now.Add(filesEvery)
	return nil
}
