package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// operatorRules is where the rules stand for the Prometheus Operator.
const operatorRules = "examples/operator/prometheusrules.yaml"

// writeOperatorRules wraps each file of rules into a PrometheusRule.
func writeOperatorRules() error {
	text, err := prometheusRules("rules")
	if err != nil {
		return err
	}
	return os.WriteFile(operatorRules, []byte(text), 0o644)
}

// prometheusRules works on the text, so that comments and order are those of the
// rules themselves: the content of a file is what stands below spec.
func prometheusRules(folder string) (string, error) {
	files, err := filepath.Glob(filepath.Join(folder, "*.rules.yml"))
	if err != nil {
		return "", err
	}
	if len(files) == 0 {
		return "", fmt.Errorf("no rules in %s", folder)
	}
	var text strings.Builder
	text.WriteString("# Made from rules/ by `make generate`; change it there.\n")
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		layer := strings.TrimSuffix(filepath.Base(file), ".rules.yml")
		fmt.Fprintf(&text, "---\napiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata:\n  name: attestation-%s\n  labels:\n    app.kubernetes.io/name: attestation-exporter\nspec:\n", layer)
		for line := range strings.Lines(string(content)) {
			if strings.TrimSpace(line) != "" {
				text.WriteString("  ")
			}
			text.WriteString(line)
		}
	}
	return text.String(), nil
}
