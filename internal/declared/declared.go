// Package declared reads from the code which metrics the collectors declare, for
// tests that hold rules and dashboards to them.
package declared

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
)

// Metrics returns the metrics that the Go files of dir declare with newDesc, tests
// aside, each with its labels. That newDesc is given nothing but literals is for that package's
// own tests to hold.
func Metrics(dir string) (map[string][]string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	metrics := map[string][]string{}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		ast.Inspect(parsed, func(node ast.Node) bool {
			call, ok := node.(*ast.CallExpr)
			if !ok {
				return true
			}
			if function, ok := call.Fun.(*ast.Ident); ok && function.Name == "newDesc" && len(call.Args) >= 3 {
				var labels []string
				for _, label := range call.Args[3:] {
					labels = append(labels, literal(label))
				}
				metrics["attestation_"+literal(call.Args[0])+"_"+literal(call.Args[1])] = labels
			}
			return true
		})
	}
	if len(metrics) == 0 {
		return nil, fmt.Errorf("no metric is declared in %s", dir)
	}
	return metrics, nil
}

// literal is the value of a string literal, and empty for anything else.
func literal(expression ast.Expr) string {
	if basic, ok := expression.(*ast.BasicLit); ok {
		if value, err := strconv.Unquote(basic.Value); err == nil {
			return value
		}
	}
	return ""
}
