// Package scale shortens the waits of the shipped rules and of the Alertmanager
// example, for a demo and for tests that can't wait. It leaves thresholds alone.
package scale

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"
)

// Rules returns a copy of a Prometheus rule file in which each `for` and each
// `keep_firing_for` is divided by factor, down to a millisecond. Nothing else
// differs, comments included. Thresholds are not waits: who must change them too
// gives Prometheus another parameters.rules.yml.
func Rules(in []byte, factor float64) ([]byte, error) {
	if !(factor > 0) || math.IsInf(factor, 1) {
		return nil, fmt.Errorf("scale rules by %v: the factor must be a positive number", factor)
	}
	var document yaml.Node
	if err := yaml.Unmarshal(in, &document); err != nil {
		return nil, fmt.Errorf("parse rules: %w", err)
	}
	for _, group := range under(&document, "groups") {
		for _, rule := range under(group, "rules") {
			if err := divideRule(rule, factor); err != nil {
				return nil, err
			}
		}
	}
	return encode(&document)
}

// RuleFiles returns what Rules makes of each rule file of a folder, by its name.
func RuleFiles(folder string, factor float64) (map[string][]byte, error) {
	paths, err := filepath.Glob(filepath.Join(folder, "*.rules.yml"))
	if err != nil {
		return nil, err
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("no rules in %s", folder)
	}
	files := map[string][]byte{}
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		if files[filepath.Base(path)], err = Rules(content, factor); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	return files, nil
}

// encode writes rules in the form in which they are shipped.
func encode(document *yaml.Node) ([]byte, error) {
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	if err := encoder.Encode(document); err != nil {
		return nil, fmt.Errorf("write rules: %w", err)
	}
	return out.Bytes(), nil
}

// under returns the items of the sequence that a mapping, or the document around
// one, has under key.
func under(node *yaml.Node, key string) []*yaml.Node {
	if node.Kind == yaml.DocumentNode && len(node.Content) == 1 {
		node = node.Content[0]
	}
	if items := member(node, key); items != nil && items.Kind == yaml.SequenceNode {
		return items.Content
	}
	return nil
}

// member is what a mapping has under key, and nil if it has nothing there or is no
// mapping.
func member(node *yaml.Node, key string) *yaml.Node {
	if node.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == key {
			return node.Content[i+1]
		}
	}
	return nil
}

func divideRule(rule *yaml.Node, factor float64) error {
	if rule.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(rule.Content); i += 2 {
		key, value := rule.Content[i], rule.Content[i+1]
		if key.Value != "for" && key.Value != "keep_firing_for" {
			continue
		}
		faster, err := divided(value, factor)
		if err != nil {
			return err
		}
		value.Value = faster
	}
	return nil
}

// divided is the wait of node divided by factor. A wait of nothing stays nothing;
// any other stays one, since a rule without a wait is another rule.
func divided(node *yaml.Node, factor float64) (string, error) {
	wait, err := model.ParseDuration(node.Value)
	if err != nil {
		return "", fmt.Errorf("line %d: %w", node.Line, err)
	}
	if wait == 0 {
		return node.Value, nil
	}
	shorter := time.Duration(math.Min(float64(wait)/factor, math.MaxInt64/2))
	return model.Duration(max(shorter.Round(time.Millisecond), time.Millisecond)).String(), nil
}
