package main

import (
	"fmt"
	"hash/fnv"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"
)

// A mutant is one value of one rule that is replaced.
type mutant struct {
	file *ruleFile
	rule *rule
	// Kind is what is broken, place where.
	kind, place string

	node   *yaml.Node
	broken string
}

// String is the mutant's name. The sum of the broken rule at its end tells it from
// another whose place looks the same, and from those of the rule before a change.
func (m mutant) String() string {
	return fmt.Sprintf("%s %s %s `%s` %08x", m.file.name, m.rule.name, m.kind, m.place, m.sum())
}

// sum is of all that decides when the rule is true. The rules that set parameters
// have one name, and differ by their labels.
func (m mutant) sum() uint32 {
	defer m.broke()()
	sum := fnv.New32a()
	for _, key := range []string{"expr", "for", "keep_firing_for"} {
		fmt.Fprintf(sum, "%s: %s\n", key, valueOf(m.rule.node, key))
	}
	if labels := under(m.rule.node, "labels"); labels != nil {
		for _, label := range labels.Content {
			fmt.Fprintln(sum, label.Value)
		}
	}
	return sum.Sum32()
}

// broke breaks the rule until the returned function mends it.
func (m mutant) broke() (mend func()) {
	whole := m.node.Value
	m.node.Value = m.broken
	return func() { m.node.Value = whole }
}

// mutants breaks every rule at every place.
func mutants(files []*ruleFile) ([]mutant, error) {
	var all []mutant
	for _, file := range files {
		for _, rule := range file.rules {
			emit := func(kind, place string, node *yaml.Node, broken string) {
				all = append(all, mutant{file, rule, kind, place, node, broken})
			}
			if err := breakWaits(rule.node, emit); err != nil {
				return nil, fmt.Errorf("%s: %w", rule.name, err)
			}
			if err := breakExpression(rule.node, emit); err != nil {
				return nil, fmt.Errorf("%s: %w", rule.name, err)
			}
		}
	}
	return all, nil
}

type emitter func(kind, place string, node *yaml.Node, broken string)

// breakWaits takes away half of a wait. Who notices that notices the whole, too.
func breakWaits(rule *yaml.Node, emit emitter) error {
	for _, key := range []string{"for", "keep_firing_for"} {
		node := under(rule, key)
		if node == nil {
			continue
		}
		wait, err := model.ParseDuration(node.Value)
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		half := model.Duration(time.Duration(wait) / 2)
		emit(key+" halved", node.Value, node, half.String())
	}
	return nil
}

// breakExpression leaves out what is the same expression as the whole one, or as
// another mutant.
func breakExpression(rule *yaml.Node, emit emitter) error {
	node := under(rule, "expr")
	if node == nil {
		return nil
	}
	language := parser.NewParser(parser.Options{})
	seen := map[string]bool{}
	// The tree is parsed anew for each break, so that no break stays.
	for place := -1; ; place++ {
		tree, err := language.ParseExpr(node.Value)
		if err != nil {
			return fmt.Errorf("parse: %w", err)
		}
		b := &breaker{place: place}
		tree = b.visit(tree)
		text := tree.String()
		if place >= 0 && b.kind == "" {
			return nil
		}
		if place >= 0 && !seen[text] {
			emit(b.kind, b.what, node, text)
		}
		seen[text] = true
	}
}
