package rules_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// target are the labels that Prometheus gives to every scraped series.
var target = []string{"job", "instance"}

// TestRulesReadWhatIsThere finds an expression with a metric that nothing exports
// or records, or with a label that its metric doesn't have. Such an alert is
// silent for ever.
func TestRulesReadWhatIsThere(t *testing.T) {
	known := exported(t)
	everyLabel := slices.Clone(target)
	for _, labels := range known {
		everyLabel = append(everyLabel, labels...)
	}
	rules := readRules(t)
	for _, r := range rules {
		for label := range r.Labels {
			everyLabel = append(everyLabel, label)
		}
	}
	for _, r := range rules {
		if r.Record != "" {
			// Which labels a recorded series keeps is for promtool's cases to
			// show; here only the name must be right.
			known[r.Record] = everyLabel
		}
	}
	series := regexp.MustCompile(`[a-z_]*:?attestation(?:_[a-z_]+|:[a-z_:]+)(?::[a-z_]+)?(?:\{[^}]*\})?`)
	matcher := regexp.MustCompile(`([a-z_]+)(?:=~|!~|!=|=)`)
	grouping := regexp.MustCompile(`\b(?:by|on|group_left) \(([^)]*)\)`)
	for _, r := range rules {
		text := queries(r)
		for _, found := range series.FindAllString(text, -1) {
			name, selector, _ := strings.Cut(found, "{")
			if slices.Contains(everyLabel, name) {
				continue
			}
			labels, ok := known[name]
			if !ok {
				t.Errorf("%s: %s%s reads %s, which nothing exports", r.file, r.Alert, r.Record, name)
				continue
			}
			for _, match := range matcher.FindAllStringSubmatch(selector, -1) {
				if !slices.Contains(labels, match[1]) {
					t.Errorf("%s: %s%s asks for the label %s, which %s hasn't", r.file, r.Alert, r.Record, match[1], name)
				}
			}
		}
		for _, match := range grouping.FindAllStringSubmatch(r.Expr, -1) {
			for label := range strings.SplitSeq(match[1], ",") {
				if label = strings.TrimSpace(label); label != "" && !slices.Contains(everyLabel, label) {
					t.Errorf("%s: %s%s groups by the label %s, which nothing has", r.file, r.Alert, r.Record, label)
				}
			}
		}
	}
}

// queries is the text of the rule in which metrics are named: its expression
// without the values that it compares labels with, and the templates of its
// annotations without addresses.
func queries(r rule) string {
	texts := []string{regexp.MustCompile(`"[^"]*"`).ReplaceAllString(r.Expr, `""`)}
	for _, annotation := range r.Annotations {
		texts = append(texts, regexp.MustCompile(`https://\S+`).ReplaceAllString(annotation, ""))
	}
	return strings.Join(texts, "\n")
}

// exported returns the metrics that the collectors declare, with their labels.
func exported(t *testing.T) map[string][]string {
	t.Helper()
	files, err := filepath.Glob("../collector/*.go")
	if err != nil {
		t.Fatal(err)
	}
	metrics := map[string][]string{}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(node ast.Node) bool {
			call, ok := node.(*ast.CallExpr)
			if !ok {
				return true
			}
			if function, ok := call.Fun.(*ast.Ident); ok && function.Name == "newDesc" && len(call.Args) >= 3 {
				metrics["attestation_"+literal(call.Args[0])+"_"+literal(call.Args[1])] = slices.Concat(target, literals(call.Args[3:]))
			}
			return true
		})
	}
	if len(metrics) == 0 {
		t.Fatal("got no metric declared in ../collector, want some")
	}
	return metrics
}

func literals(expressions []ast.Expr) []string {
	var values []string
	for _, expression := range expressions {
		values = append(values, literal(expression))
	}
	return values
}

// literal is the value of a string literal, and empty for anything else: that
// newDesc is given nothing else is another test's business.
func literal(expression ast.Expr) string {
	if basic, ok := expression.(*ast.BasicLit); ok {
		if value, err := strconv.Unquote(basic.Value); err == nil {
			return value
		}
	}
	return ""
}
