package main

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"go.yaml.in/yaml/v3"
)

// A cutCase is a case with only some of its assertions, and the rules for these.
type cutCase struct {
	testCase
	keep map[string]bool
	size int
	end  time.Duration
}

// cost is about how many rules are evaluated.
func (c *cutCase) cost() int {
	return int(c.end/c.interval+1) * c.size
}

// write puts the case and its rules into a folder, and returns the file for
// promtool.
func (c *cutCase) write(folder string, p *pack) (string, error) {
	if err := os.Mkdir(folder, 0o700); err != nil {
		return "", err
	}
	for _, name := range c.rules {
		content, err := p.files[name].only(c.keep)
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o600); err != nil {
			return "", err
		}
	}
	content, err := encode(c.document())
	if err != nil {
		return "", err
	}
	path := filepath.Join(folder, c.file)
	return path, os.WriteFile(path, content, 0o600)
}

// document is the case as a file of promtool's.
func (c *cutCase) document() map[string]any {
	test := map[string]any{"input_series": c.mentionedSeries()}
	for i := 0; i+1 < len(c.rest.Content); i += 2 {
		test[c.rest.Content[i].Value] = c.rest.Content[i+1]
	}
	asserted := map[string][]*yaml.Node{}
	for _, a := range c.assertions {
		asserted[a.key] = append(asserted[a.key], a.node)
	}
	for key, list := range asserted {
		test[key] = list
	}
	return map[string]any{
		"rule_files":          c.rules,
		"evaluation_interval": c.interval.String(),
		"group_eval_order":    c.order,
		"tests":               []any{test},
	}
}

// mentionedSeries are those that a rule or an assertion can read.
func (c *cutCase) mentionedSeries() []*yaml.Node {
	read := maps.Clone(c.keep)
	for _, a := range c.assertions {
		maps.Copy(read, a.names)
	}
	return slices.DeleteFunc(slices.Clone(c.series), func(series *yaml.Node) bool {
		return !read[word.FindString(valueOf(series, "series"))]
	})
}
