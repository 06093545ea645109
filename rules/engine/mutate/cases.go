package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"
)

// A testCase is one test of a file of promtool's, with what the file says of all.
type testCase struct {
	file     string
	rules    []string
	interval time.Duration
	order    []string

	series     []*yaml.Node
	assertions []assertion
	// The test without its series and assertions.
	rest *yaml.Node
}

// An assertion is what one case expects at one moment.
type assertion struct {
	// Key is the list of the case that it stands in.
	key  string
	node *yaml.Node
	at   time.Duration
	// Names are the alerts and series that it asks for.
	names map[string]bool
	// Pattern is that of the names, where it asks for series by one.
	pattern *regexp.Regexp
	// AnyAlert is that it expects no alert at all, so that any rule can be left
	// out of it.
	anyAlert bool
}

func readCases(folder string) ([]testCase, error) {
	paths, err := filepath.Glob(filepath.Join(folder, "*.test.yml"))
	if err != nil {
		return nil, err
	}
	var cases []testCase
	for _, path := range paths {
		raw, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("read cases: %w", err)
		}
		of, err := parseCases(filepath.Base(path), raw)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		cases = append(cases, of...)
	}
	return cases, nil
}

func parseCases(name string, raw []byte) ([]testCase, error) {
	var file struct {
		Rules    []string       `yaml:"rule_files"`
		Interval model.Duration `yaml:"evaluation_interval"`
		Order    []string       `yaml:"group_eval_order"`
		Tests    []yaml.Node
	}
	if err := yaml.Unmarshal(raw, &file); err != nil {
		return nil, fmt.Errorf("parse cases: %w", err)
	}
	var cases []testCase
	for i := range file.Tests {
		node := &file.Tests[i]
		unalias(node)
		c := testCase{file: name, rules: file.Rules, interval: time.Duration(file.Interval), order: file.Order}
		for _, key := range []string{"alert_rule_test", "promql_expr_test"} {
			list := under(node, key)
			if list == nil {
				continue
			}
			for _, wanted := range list.Content {
				a, err := parseAssertion(key, wanted)
				if err != nil {
					return nil, err
				}
				c.assertions = append(c.assertions, a)
			}
		}
		if series := under(node, "input_series"); series != nil {
			c.series = series.Content
		}
		c.rest = without(node, "alert_rule_test", "promql_expr_test", "input_series")
		cases = append(cases, c)
	}
	return cases, nil
}

func parseAssertion(key string, node *yaml.Node) (assertion, error) {
	at, err := model.ParseDuration(valueOf(node, "eval_time"))
	if err != nil {
		return assertion{}, fmt.Errorf("line %d: eval_time: %w", node.Line, err)
	}
	a := assertion{key: key, node: node, at: time.Duration(at), names: map[string]bool{}}
	if name := valueOf(node, "alertname"); name != "" {
		a.names[name] = true
		return a, nil
	}
	// What selects one alert asks for no other.
	expr := oneAlert.ReplaceAllString(valueOf(node, "expr"), "$1")
	for _, name := range word.FindAllString(expr, -1) {
		a.names[name] = true
	}
	if found := namePattern.FindStringSubmatch(expr); found != nil {
		if a.pattern, err = regexp.Compile("^(?:" + found[1] + ")$"); err != nil {
			return assertion{}, fmt.Errorf("line %d: %w", node.Line, err)
		}
	}
	wanted := under(node, "exp_samples")
	a.anyAlert = a.names[allAlerts] && (wanted == nil || len(wanted.Content) == 0)
	return a, nil
}

var (
	oneAlert    = regexp.MustCompile(`ALERTS\{[^}]*alertname="(\w+)"[^}]*\}`)
	namePattern = regexp.MustCompile(`__name__=~"([^"]+)"`)
)

// without is the mapping without these keys.
func without(node *yaml.Node, keys ...string) *yaml.Node {
	rest := &yaml.Node{Kind: yaml.MappingNode}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if !slices.Contains(keys, node.Content[i].Value) {
			rest.Content = append(rest.Content, node.Content[i:i+2]...)
		}
	}
	return rest
}

// about is the part of a case that can show anything of one rule: what is asserted
// of it and of what reads it, with the rules behind that. None is nil.
func (c testCase) about(name string, p *pack) *cutCase {
	cut := &cutCase{testCase: c, keep: map[string]bool{}}
	cut.assertions = nil
	for _, a := range c.assertions {
		names := a.reach(name, p)
		if !names[name] {
			continue
		}
		cut.assertions = append(cut.assertions, a)
		cut.end = max(cut.end, a.at)
		maps.Copy(cut.keep, names)
	}
	loaded := false
	for _, file := range c.rules {
		for _, r := range p.files[file].rules {
			loaded = loaded || r.name == name
			if cut.keep[r.name] {
				cut.size++
			}
		}
	}
	if len(cut.assertions) == 0 || !loaded {
		return nil
	}
	return cut
}

// reach is everything behind an assertion, or, where it is about any alert, behind
// those alerts of which the rule is a part.
func (a assertion) reach(name string, p *pack) map[string]bool {
	if !a.anyAlert {
		asked := slices.Collect(maps.Keys(a.names))
		for series := range p.reads {
			if a.pattern != nil && a.pattern.MatchString(series) {
				asked = append(asked, series)
			}
		}
		return p.behind(asked...)
	}
	names := map[string]bool{}
	for alert := range p.reads[allAlerts] {
		if behind := p.behind(alert); behind[name] {
			maps.Copy(names, behind)
		}
	}
	return names
}
