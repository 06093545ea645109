package collector

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write golden files and the metric reference instead of comparing with them")

const (
	referenceFile  = "../docs/metrics.md"
	referenceBegin = "<!-- The tables below are made from the code: go test ./collector -run TestReference -update -->\n"
)

// TestReference holds docs/metrics.md to the descriptors in the code: every
// metric, its labels and its help.
func TestReference(t *testing.T) {
	want := referenceTables(t)
	content, err := os.ReadFile(referenceFile)
	if err != nil {
		t.Fatal(err)
	}
	prose, got, found := strings.Cut(string(content), referenceBegin)
	if !found {
		t.Fatalf("%s has no line %q", referenceFile, referenceBegin)
	}
	if *update {
		if err := os.WriteFile(referenceFile, []byte(prose+referenceBegin+want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got != want {
		t.Errorf("%s isn't what the code exports; after a look at the difference run go test ./collector -run TestReference -update\ngot\n%s\nwant\n%s", referenceFile, got, want)
	}
}

type referenceMetric struct{ subsystem, name, help, labels string }

func referenceTables(t *testing.T) string {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var metrics []referenceMetric
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(node ast.Node) bool {
			if call, ok := node.(*ast.CallExpr); ok {
				if function, ok := call.Fun.(*ast.Ident); ok && function.Name == "newDesc" {
					metrics = append(metrics, referenceOf(t, file, call))
				}
			}
			return true
		})
	}
	// By subsystem, and in the order of the code within it.
	slices.SortStableFunc(metrics, func(a, b referenceMetric) int { return strings.Compare(a.subsystem, b.subsystem) })
	var text strings.Builder
	subsystem := ""
	for _, m := range metrics {
		if m.subsystem != subsystem {
			subsystem = m.subsystem
			fmt.Fprintf(&text, "\n## %s\n\n| metric | type | labels | meaning |\n| --- | --- | --- | --- |\n", subsystem)
		}
		kind := "gauge"
		if strings.HasSuffix(m.name, "_total") {
			kind = "counter"
		}
		fmt.Fprintf(&text, "| `attestation_%s_%s` | %s | %s | %s |\n", m.subsystem, m.name, kind, m.labels, m.help)
	}
	return text.String()
}

func referenceOf(t *testing.T, file string, call *ast.CallExpr) referenceMetric {
	t.Helper()
	var arguments []string
	for _, argument := range call.Args {
		arguments = append(arguments, referenceLiteral(t, file, argument))
	}
	if len(arguments) < 3 {
		t.Fatalf("%s: newDesc with %d arguments", file, len(arguments))
	}
	if !strings.HasSuffix(arguments[2], ".") {
		t.Errorf("%s: the help of %s isn't a sentence with a full stop: %q", file, arguments[1], arguments[2])
	}
	return referenceMetric{arguments[0], arguments[1], arguments[2], strings.Join(arguments[3:], ", ")}
}

// referenceLiteral is the value of a string literal, or of several put together.
func referenceLiteral(t *testing.T, file string, expression ast.Expr) string {
	t.Helper()
	switch e := expression.(type) {
	case *ast.BasicLit:
		value, err := strconv.Unquote(e.Value)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		return value
	case *ast.BinaryExpr:
		return referenceLiteral(t, file, e.X) + referenceLiteral(t, file, e.Y)
	}
	t.Fatalf("%s: newDesc is called with something other than string literals", file)
	return ""
}
