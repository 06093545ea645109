package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"go.yaml.in/yaml/v3"
)

// A ruleFile is a file of rules as a tree, in which a rule can be broken and mended.
type ruleFile struct {
	name     string
	document yaml.Node
	rules    []*rule
}

// A rule is one alert or one record. Several may have one name.
type rule struct {
	name  string
	alert bool
	node  *yaml.Node
}

func readRuleFiles(folder string) ([]*ruleFile, error) {
	paths, err := filepath.Glob(filepath.Join(folder, "*.rules.yml"))
	if err != nil {
		return nil, err
	}
	var files []*ruleFile
	for _, path := range paths {
		raw, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("read rules: %w", err)
		}
		file, err := parseRuleFile(filepath.Base(path), raw)
		if err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	return files, nil
}

func parseRuleFile(name string, raw []byte) (*ruleFile, error) {
	file := &ruleFile{name: name}
	if err := yaml.Unmarshal(raw, &file.document); err != nil {
		return nil, fmt.Errorf("parse %s: %w", name, err)
	}
	unalias(&file.document)
	for _, list := range file.lists() {
		for _, node := range list.Content {
			alert, record := valueOf(node, "alert"), valueOf(node, "record")
			file.rules = append(file.rules, &rule{alert + record, alert != "", node})
		}
	}
	return file, nil
}

// unalias writes out what YAML's aliases stand for: the rule with the anchor may be
// left out.
func unalias(node *yaml.Node) {
	for node.Alias != nil {
		*node = *node.Alias
	}
	node.Anchor = ""
	node.Content = slices.Clone(node.Content)
	for i, child := range node.Content {
		own := *child
		node.Content[i] = &own
		unalias(&own)
	}
}

// lists are the rules of each group.
func (f *ruleFile) lists() []*yaml.Node {
	var lists []*yaml.Node
	if len(f.document.Content) == 0 {
		return nil
	}
	groups := under(f.document.Content[0], "groups")
	if groups == nil {
		return nil
	}
	for _, group := range groups.Content {
		if list := under(group, "rules"); list != nil {
			lists = append(lists, list)
		}
	}
	return lists
}

// only is the file with just the rules of these names. A group stays when it has
// none left, since the cases name the groups.
func (f *ruleFile) only(names map[string]bool) ([]byte, error) {
	for _, list := range f.lists() {
		whole := list.Content
		defer func() { list.Content = whole }()
		list.Content = slices.DeleteFunc(slices.Clone(whole), func(node *yaml.Node) bool {
			return !names[valueOf(node, "alert")+valueOf(node, "record")]
		})
	}
	return encode(&f.document)
}

func encode(document any) ([]byte, error) {
	var content bytes.Buffer
	encoder := yaml.NewEncoder(&content)
	if err := encoder.Encode(document); err != nil {
		return nil, fmt.Errorf("write YAML: %w", err)
	}
	return content.Bytes(), encoder.Close()
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
