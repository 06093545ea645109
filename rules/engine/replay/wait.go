package replay

import (
	"time"

	"github.com/prometheus/prometheus/rules"
)

// Waits are the alerts of the pack, each with its own wait.
func (p *Pack) Waits() map[string]time.Duration {
	waits := map[string]time.Duration{}
	for _, group := range p.groups() {
		for _, rule := range group.Rules() {
			if alert, ok := rule.(*rules.AlertingRule); ok {
				waits[alert.Name()] = alert.HoldDuration()
			}
		}
	}
	return waits
}
