package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"
)

// A mutant is one rule file with one break in it.
type mutant struct {
	file, rule string
	// Kind is what was broken, place where.
	kind, place string
	content     []byte
}

// mutants makes every mutant of every rule file of the folder.
func mutants(folder string) ([]mutant, error) {
	files, err := filepath.Glob(filepath.Join(folder, "*.rules.yml"))
	if err != nil {
		return nil, err
	}
	var all []mutant
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read rules: %w", err)
		}
		made, err := mutantsOf(filepath.Base(file), raw)
		if err != nil {
			return nil, err
		}
		all = append(all, made...)
	}
	return all, nil
}

// mutantsOf breaks one file at every place, and puts the place right after each.
func mutantsOf(file string, raw []byte) ([]mutant, error) {
	var document yaml.Node
	if err := yaml.Unmarshal(raw, &document); err != nil {
		return nil, fmt.Errorf("parse %s: %w", file, err)
	}
	var made []mutant
	for _, rule := range rulesOf(&document) {
		name := valueOf(rule, "alert") + valueOf(rule, "record")
		emit := func(kind, place string) error {
			var content bytes.Buffer
			if err := yaml.NewEncoder(&content).Encode(&document); err != nil {
				return fmt.Errorf("write a mutant of %s: %w", name, err)
			}
			made = append(made, mutant{file, name, kind, place, content.Bytes()})
			return nil
		}
		if err := breakWait(rule, emit); err != nil {
			return nil, err
		}
		if err := breakExpression(rule, emit); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return made, nil
}

// breakWait takes the wait away.
func breakWait(rule *yaml.Node, emit func(kind, place string) error) error {
	for i := 0; i+1 < len(rule.Content); i += 2 {
		if rule.Content[i].Value != "for" {
			continue
		}
		wait := rule.Content[i+1].Value
		rule.Content[i+1].Value = "0s"
		err := emit("missing for", wait)
		rule.Content[i+1].Value = wait
		return err
	}
	return nil
}

func breakExpression(rule *yaml.Node, emit func(kind, place string) error) error {
	node := under(rule, "expr")
	if node == nil {
		return nil
	}
	text := node.Value
	defer func() { node.Value = text }()
	language := parser.NewParser(parser.Options{})
	// The tree is parsed anew for each break, so that no break stays.
	for place := 0; ; place++ {
		tree, err := language.ParseExpr(text)
		if err != nil {
			return fmt.Errorf("parse: %w", err)
		}
		b := &breaker{place: place}
		b.visit(tree)
		if b.kind == "" {
			return nil
		}
		node.Value = tree.String()
		if err := emit(b.kind, b.what); err != nil {
			return err
		}
	}
}

// A breaker walks an expression and breaks it at one of its places.
type breaker struct {
	place, seen int
	kind, what  string
}

// here is whether this is the place to break.
func (b *breaker) here() bool {
	b.seen++
	return b.kind == "" && b.seen-1 == b.place
}

func (b *breaker) visit(node parser.Node) {
	if binary, ok := node.(*parser.BinaryExpr); ok {
		b.breakBinary(binary)
	}
	if number, ok := node.(*parser.NumberLiteral); ok && number.Val > 1 && b.here() {
		b.kind, b.what = "threshold off by one", number.String()
		number.Val++
	}
	for child := range parser.ChildrenIter(node) {
		b.visit(child)
	}
}

func (b *breaker) breakBinary(binary *parser.BinaryExpr) {
	was := short(binary)
	if wrong, ok := wrongOperator(binary.Op); ok && b.here() {
		b.kind, b.what = "wrong operator", was
		binary.Op = wrong
		return
	}
	if binary.Op.IsSetOperator() && b.here() {
		b.kind, b.what = "dropped "+binary.Op.String(), was
		// What keeps the left side alone, and is an expression still.
		binary.Op, binary.RHS, binary.VectorMatching = parser.LOR, binary.LHS, &parser.VectorMatching{Card: parser.CardManyToMany}
	}
}

func wrongOperator(op parser.ItemType) (parser.ItemType, bool) {
	wrong, ok := map[parser.ItemType]parser.ItemType{
		parser.GTR: parser.GTE, parser.GTE: parser.GTR, parser.LSS: parser.LTE, parser.LTE: parser.LSS,
		parser.EQLC: parser.NEQ, parser.NEQ: parser.EQLC, parser.SUB: parser.ADD, parser.ADD: parser.SUB,
	}[op]
	return wrong, ok
}

// short is the end of an expression, which tells its places apart.
func short(node parser.Node) string {
	text := strings.Join(strings.Fields(node.String()), " ")
	if len(text) > 70 {
		text = "…" + text[len(text)-70:]
	}
	return text
}

func rulesOf(document *yaml.Node) []*yaml.Node {
	var rules []*yaml.Node
	if len(document.Content) == 0 {
		return nil
	}
	groups := under(document.Content[0], "groups")
	if groups == nil {
		return nil
	}
	for _, group := range groups.Content {
		if list := under(group, "rules"); list != nil {
			rules = append(rules, list.Content...)
		}
	}
	return rules
}

// under is the value that a mapping has under a key.
func under(node *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == key {
			return node.Content[i+1]
		}
	}
	return nil
}

func valueOf(node *yaml.Node, key string) string {
	if value := under(node, key); value != nil {
		return value.Value
	}
	return ""
}
