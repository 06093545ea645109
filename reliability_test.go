package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// TestReliabilityPage looks for each test that docs/reliability.md names.
func TestReliabilityPage(t *testing.T) {
	text, err := os.ReadFile("docs/reliability.md")
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`([a-z./_]+) ((?:Test|Fuzz)[A-Za-z0-9]+)`").FindAllStringSubmatch(string(text), -1)
	if len(named) < 50 {
		t.Errorf("got %d names of tests, want the 50 and more that stand there", len(named))
	}
	known := map[string]map[string]bool{}
	for _, name := range named {
		folder, test := name[1], name[2]
		if known[folder] == nil {
			known[folder] = testsIn(t, folder)
		}
		if !known[folder][test] {
			t.Errorf("docs/reliability.md names %s in %s, which isn't there", test, folder)
		}
	}
}

// testsIn are the functions in the test files of a folder.
func testsIn(t *testing.T, folder string) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, declaration := range parsed.Decls {
			if function, ok := declaration.(*ast.FuncDecl); ok && function.Recv == nil {
				names[function.Name.Name] = true
			}
		}
	}
	return names
}
