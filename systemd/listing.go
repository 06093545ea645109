package systemd

import (
	"context"
	"fmt"
	"path"
	"time"
)

// filesEvery is how long a list of unit files is used. systemd reads the folders
// and each file anew to make one, in its only thread: it takes it 25 times as long
// as to list the units that it has in memory.
const filesEvery = 5 * time.Minute

// anyTimer is systemd's pattern for timers, which are told apart here.
func anyTimer() []string { return []string{"*.timer"} }

// loadedTimers lists the timers to keep that systemd holds in memory: those that
// run, and those that something refers to.
func (c *connection) loadedTimers(ctx context.Context, keep func(string) bool) ([]string, error) {
	units, err := c.ListUnitsByPatternsContext(ctx, []string{}, anyTimer())
	if err != nil {
		return nil, fmt.Errorf("list the loaded timers: %w", cause(ctx, err))
	}
	var names []string
	for _, unit := range units {
		if keep(unit.Name) {
			names = append(names, unit.Name)
		}
	}
	return names, nil
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
	files, err := conn.ListUnitFilesByPatternsContext(ctx, []string{}, anyTimer())
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
