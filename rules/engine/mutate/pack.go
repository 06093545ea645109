package main

import (
	"maps"
	"regexp"
	"slices"

	"go.yaml.in/yaml/v3"
)

// A pack knows which rules read which.
type pack struct {
	files map[string]*ruleFile
	// Reads has, by the name of a rule, every name that its text mentions, its
	// annotations included, since these query too.
	reads map[string]map[string]bool
}

// allAlerts is the series that Prometheus makes of every alert.
const allAlerts = "ALERTS"

func newPack(files []*ruleFile) *pack {
	p := &pack{files: map[string]*ruleFile{}, reads: map[string]map[string]bool{}}
	p.reads[allAlerts] = map[string]bool{}
	for _, file := range files {
		p.files[file.name] = file
		for _, r := range file.rules {
			if p.reads[r.name] == nil {
				p.reads[r.name] = map[string]bool{}
			}
			maps.Copy(p.reads[r.name], mentioned(r.node))
			if r.alert {
				p.reads[allAlerts][r.name] = true
			}
		}
	}
	return p
}

// behind are the names, and all that is read to make them, in the end the
// exporter's own metrics.
func (p *pack) behind(names ...string) map[string]bool {
	found := map[string]bool{}
	for len(names) > 0 {
		name := names[0]
		names = names[1:]
		if found[name] {
			continue
		}
		found[name] = true
		names = slices.AppendSeq(names, maps.Keys(p.reads[name]))
	}
	return found
}

var word = regexp.MustCompile(`[a-zA-Z_:][a-zA-Z0-9_:]*`)

// mentioned are the words of all values in a tree. Most are no name of anything,
// which does no harm.
func mentioned(node *yaml.Node) map[string]bool {
	words := map[string]bool{}
	var visit func(*yaml.Node)
	visit = func(n *yaml.Node) {
		for _, found := range word.FindAllString(n.Value, -1) {
			words[found] = true
		}
		for _, child := range n.Content {
			visit(child)
		}
	}
	visit(node)
	return words
}
