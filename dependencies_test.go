package main

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// TestDependenciesPage holds docs/dependencies.md to the modules that go.mod names,
// and each row to a reason and a licence.
func TestDependenciesPage(t *testing.T) {
	page, err := os.ReadFile("docs/dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	var listed []string
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(line, "|")
		if len(cells) != 6 || !strings.Contains(cells[1], ".") {
			continue
		}
		module := strings.TrimSpace(cells[1])
		listed = append(listed, module)
		if strings.TrimSpace(cells[2]) == "" || strings.TrimSpace(cells[4]) == "" {
			t.Errorf("%s has no reason or no licence", module)
		}
	}
	slices.Sort(listed)
	if required := directModules(t); !slices.Equal(listed, required) {
		t.Errorf("listed:\n%s\nrequired by go.mod:\n%s", strings.Join(listed, "\n"), strings.Join(required, "\n"))
	}
}

// directModules are those that go.mod doesn't call indirect, sorted.
func directModules(t *testing.T) []string {
	t.Helper()
	file, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	var modules []string
	for line := range strings.Lines(string(file)) {
		fields := strings.Fields(line)
		if len(fields) == 2 && strings.HasPrefix(fields[1], "v") {
			modules = append(modules, fields[0])
		}
	}
	slices.Sort(modules)
	return modules
}
