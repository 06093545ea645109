package replay

import (
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/prometheus/alertmanager/config"
	"github.com/prometheus/alertmanager/config/common"
	amlabels "github.com/prometheus/alertmanager/pkg/labels"
	"github.com/prometheus/common/model"
)

// Inhibitions are those of an Alertmanager's configuration.
type Inhibitions struct{ rules []common.InhibitRule }

// LoadInhibitions reads an Alertmanager's configuration.
func LoadInhibitions(file string) (Inhibitions, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return Inhibitions{}, fmt.Errorf("read Alertmanager's configuration: %w", err)
	}
	loaded, err := config.Load(string(raw))
	if err != nil {
		return Inhibitions{}, fmt.Errorf("read %s: %w", file, err)
	}
	return Inhibitions{loaded.InhibitRules}, nil
}

// Notified are the alerts that somebody hears of: those that fire, at some moment
// from a wait after their begin, for longer than grace while nothing that inhibits
// them does.
func (in Inhibitions) Notified(alerts []*Alert, wait, grace time.Duration, now time.Time) []*Alert {
	var heard []*Alert
	sources := in.sources(alerts)
	for _, target := range alerts {
		hidden := in.inhibiting(target, sources)
		free := time.Duration(0)
		for at := target.Fired.Add(wait); at.Before(target.until(now)); at = at.Add(grace) {
			covered := slices.ContainsFunc(hidden, func(s *Alert) bool { return !at.Before(s.Fired) && at.Before(s.until(now)) })
			if covered {
				free = 0
				continue
			}
			if free += grace; free > grace {
				heard = append(heard, target)
				break
			}
		}
	}
	return heard
}

func (a *Alert) until(now time.Time) time.Time {
	if a.Resolved.IsZero() {
		return now
	}
	return a.Resolved
}

// sources are, for each rule, the alerts that it lets inhibit others: few, where the
// others may be a whole fleet's.
func (in Inhibitions) sources(alerts []*Alert) [][]*Alert {
	sources := make([][]*Alert, len(in.rules))
	for i, rule := range in.rules {
		for _, alert := range alerts {
			if matched(rule.SourceMatchers, alert) {
				sources[i] = append(sources[i], alert)
			}
		}
	}
	return sources
}

// inhibiting are those of the sources that hide target while they fire.
func (in Inhibitions) inhibiting(target *Alert, sources [][]*Alert) []*Alert {
	var found []*Alert
	for i, rule := range in.rules {
		if len(sources[i]) == 0 || !matched(rule.TargetMatchers, target) {
			continue
		}
		for _, source := range sources[i] {
			differs := func(name string) bool { return source.Labels.Get(name) != target.Labels.Get(name) }
			if source != target && !slices.ContainsFunc(rule.Equal, differs) {
				found = append(found, source)
			}
		}
	}
	return found
}

func matched(matchers common.Matchers, a *Alert) bool {
	set := model.LabelSet{}
	for name, value := range a.Labels.Map() {
		set[model.LabelName(name)] = model.LabelValue(value)
	}
	return amlabels.Matchers(matchers).Matches(set)
}
