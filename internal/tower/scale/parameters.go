package scale

import (
	"fmt"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// Parameter returns a copy of a rule file in which the parameter of that name has
// another value, as a site sets it in its own copy of parameters.rules.yml.
func Parameter(in []byte, name string, value float64) ([]byte, error) {
	var document yaml.Node
	if err := yaml.Unmarshal(in, &document); err != nil {
		return nil, fmt.Errorf("parse rules: %w", err)
	}
	found := false
	for _, group := range under(&document, "groups") {
		for _, rule := range under(group, "rules") {
			if expr := member(rule, "expr"); expr != nil && named(rule, name) {
				expr.Value, found = "vector("+strconv.FormatFloat(value, 'f', -1, 64)+")", true
			}
		}
	}
	if !found {
		return nil, fmt.Errorf("no parameter %s", name)
	}
	return encode(&document)
}

// named tells whether a rule records the parameter of that name.
func named(rule *yaml.Node, name string) bool {
	labels := member(rule, "labels")
	if labels == nil {
		return false
	}
	parameter := member(labels, "parameter")
	return parameter != nil && parameter.Value == name
}
