//go:build conformance

package guest

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	exporter = "attestation_exporter.service"
	reader   = "attestation_exporter_reader.service"
	socket   = "attestation_exporter_reader.socket"
)

// startTime is for what an emulated processor does once, such as a first scrape.
const startTime = time.Minute

func units() []string { return []string{exporter, reader} }

// pid is the process of a unit, and 0 where it has none.
func pid(t *testing.T, unit string) int {
	t.Helper()
	number, err := strconv.Atoi(command(t, "systemctl", "show", "--property=MainPID", "--value", unit))
	if err != nil {
		t.Fatal(err)
	}
	return number
}

// calm remembers the processes of both units and where the journal ends. What it
// returns complains when there are other processes later, or a line of theirs.
func calm(t *testing.T) (check func()) {
	t.Helper()
	before := map[string]int{}
	for _, unit := range units() {
		before[unit] = pid(t, unit)
	}
	cursor := filepath.Join(t.TempDir(), "cursor")
	journal := func() string {
		command(t, "journalctl", "--sync")
		return command(t, "journalctl", "--quiet", "--output=cat", "--cursor-file="+cursor, "--unit="+exporter, "--unit="+reader)
	}
	journal()
	return func() {
		t.Helper()
		for _, unit := range units() {
			if now := pid(t, unit); now != before[unit] {
				t.Errorf("%s: got process %d, want %d as before", unit, now, before[unit])
			}
		}
		if lines := journal(); lines != "" {
			t.Errorf("got lines in the journal:\n%s", lines)
		}
	}
}

// usage is what could grow, by name.
type usage map[string]int

// used counts what the two processes hold, the reader's where it runs. It asks as
// those do who scrape while something hangs.
func used(t *testing.T) usage {
	t.Helper()
	got := usage{"goroutines of " + exporter: int(scrape(hungTimeout).series["go_goroutines"])}
	for _, unit := range units() {
		process := pid(t, unit)
		if process == 0 {
			continue
		}
		for what, folder := range map[string]string{"threads": "task", "files": "fd"} {
			entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/%s", process, folder))
			if err != nil {
				t.Fatal(err)
			}
			got[what+" of "+unit] = len(entries)
		}
	}
	return got
}

// grown is an error where more is held than before, and slack.
func (u usage) grown(before usage, slack int) error {
	var more []string
	for _, what := range slices.Sorted(maps.Keys(u)) {
		if u[what] > before[what]+slack {
			more = append(more, fmt.Sprintf("%d %s, before %d", u[what], what, before[what]))
		}
	}
	if len(more) > 0 {
		return fmt.Errorf("got %s, want at most %d more", strings.Join(more, "; "), slack)
	}
	return nil
}

// uninterruptible counts the threads of a unit in the state D.
func uninterruptible(t *testing.T, unit string) (threads int) {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid(t, unit)))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		status, err := os.ReadFile(file)
		if err == nil && bytes.Contains(status, []byte("\nState:\tD")) {
			threads++
		}
	}
	return threads
}

// command runs a program that must succeed, and returns what it says.
func command(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// eventually tries until there is no error, for at most so long.
func eventually(t *testing.T, patience time.Duration, try func() error) {
	t.Helper()
	var err error
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		if err = try(); err == nil {
			return
		}
	}
	t.Fatalf("after %v: %v", patience, err)
}
