package replay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/rules"
)

// lookback is Prometheus' default: how old a sample may be to stand for now.
const lookback = 5 * time.Minute

// An Alert began to fire or ended.
type Alert struct {
	Name   string
	Labels labels.Labels
	// Fired is when it was first sent, Resolved when its end was.
	Fired, Resolved time.Time
	Summary         string
}

// A Pack is the shipped rule files, evaluated by Prometheus' own rule manager.
type Pack struct {
	files    []string
	interval time.Duration
	store    *Store
	engine   *promql.Engine
	// Groups of one stage read nothing that another one of it records.
	stages   [][]*rules.Group
	restored int
	samples  atomic.Int64

	mu     sync.Mutex
	alerts []*Alert
	firing map[string]*Alert
}

// Load reads the rule files of folder as they are shipped.
func Load(folder string, interval time.Duration, store *Store) (*Pack, error) {
	files, err := filepath.Glob(filepath.Join(folder, "*.rules.yml"))
	if err != nil || len(files) == 0 {
		return nil, fmt.Errorf("no rule files in %s (%w)", folder, err)
	}
	p := &Pack{
		files: files, interval: interval, store: store, firing: map[string]*Alert{},
		engine: promql.NewEngine(promql.EngineOpts{
			// Prometheus' own limit of samples. Its limit of time would make a busy
			// machine's runs fail.
			MaxSamples: 50_000_000, Timeout: time.Hour, LookbackDelta: lookback,
			EnableAtModifier: true, EnableNegativeOffset: true, Parser: parser.NewParser(parser.Options{}),
		}),
	}
	return p, p.Restart()
}

// Restart loads the files anew, as a Prometheus that was away does: the waits of
// its alerts are taken up from the storage after two evaluations.
func (p *Pack) Restart() error {
	manager := rules.NewManager(&rules.ManagerOptions{
		NameValidationScheme: model.UTF8Validation,
		QueryFunc:            p.query,
		NotifyFunc:           p.notify,
		Context:              context.Background(),
		AppendableV2:         p.store,
		Queryable:            p.store,
		Logger:               slog.New(slog.DiscardHandler),
		OutageTolerance:      time.Hour,
		ForGracePeriod:       10 * time.Minute,
		ResendDelay:          time.Minute,
	})
	groups, errs := manager.LoadGroups(p.interval, labels.EmptyLabels(), "", nil, false, p.files...)
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	p.stages = staged(groups)
	p.restored = 0
	return nil
}

// staged puts the groups that others read first. A real Prometheus starts each
// group at a moment of its own and gives no order; a fixed one makes a run
// repeatable, and lets the groups of a stage share the processors.
func staged(groups map[string]*rules.Group) [][]*rules.Group {
	stages := make([][]*rules.Group, 4)
	for _, group := range groups {
		stage := 2
		switch group.Name() {
		case "attestation-parameters":
			stage = 0
		case "attestation-memory":
			stage = 1
		case "attestation-spire": // It asks Keylime's group who is refused.
			stage = 3
		}
		stages[stage] = append(stages[stage], group)
	}
	return stages
}

// Evaluate evaluates every group once. A rule that can't be evaluated is a silent
// alert, and so is an annotation that can't be filled: both are errors.
func (p *Pack) Evaluate(ctx context.Context, now time.Time) error {
	var errs []error
	for _, stage := range p.stages {
		var evaluations sync.WaitGroup
		for _, group := range stage {
			evaluations.Go(func() { group.Eval(ctx, now) })
		}
		evaluations.Wait()
		for _, group := range stage {
			for _, rule := range group.Rules() {
				if err := rule.LastError(); err != nil {
					errs = append(errs, fmt.Errorf("%s at %s: %w", rule.Name(), now.Format(time.RFC3339), err))
				}
			}
		}
	}
	if p.restored++; p.restored == 2 {
		for _, group := range p.groups() {
			group.RestoreForState(now)
		}
	}
	errs = append(errs, p.store.Trim(now))
	return errors.Join(errs...)
}

func (p *Pack) groups() []*rules.Group { return slices.Concat(p.stages...) }

// query is what rules.EngineQueryFunc does, and counts the samples that it read.
func (p *Pack) query(ctx context.Context, text string, at time.Time) (promql.Vector, error) {
	query, err := p.engine.NewInstantQuery(ctx, p.store, nil, text, at)
	if err != nil {
		return nil, err
	}
	defer query.Close()
	result := query.Exec(ctx)
	if result.Err != nil {
		return nil, result.Err
	}
	p.samples.Add(query.Stats().Samples.TotalSamples)
	switch v := result.Value.(type) {
	case promql.Vector:
		return v, nil
	case promql.Scalar:
		return promql.Vector{promql.Sample{T: v.T, F: v.V}}, nil
	}
	return nil, fmt.Errorf("%s gives a %s, want a vector", text, result.Value.Type())
}

// Samples is how many samples all evaluations have read until now.
func (p *Pack) Samples() int64 { return p.samples.Load() }

// A Cost is how long one rule took at the last evaluation.
type Cost struct {
	Name string
	Took time.Duration
}

// Costs are those of the rules, the dearest first.
func (p *Pack) Costs() []Cost {
	var costs []Cost
	for _, group := range p.groups() {
		for _, rule := range group.Rules() {
			costs = append(costs, Cost{rule.Name(), rule.GetEvaluationDuration()})
		}
	}
	slices.SortFunc(costs, func(a, b Cost) int { return cmp.Compare(b.Took, a.Took) })
	return costs
}

// Alerts are all that have fired until now, in the order in which they began.
func (p *Pack) Alerts() []*Alert {
	p.mu.Lock()
	defer p.mu.Unlock()
	slices.SortFunc(p.alerts, func(a, b *Alert) int {
		return cmp.Or(a.Fired.Compare(b.Fired), labels.Compare(a.Labels, b.Labels))
	})
	return slices.Clone(p.alerts)
}

// notify is what would be sent to Alertmanager.
func (p *Pack) notify(_ context.Context, _ string, sent ...*rules.Alert) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, a := range sent {
		key := a.Labels.String()
		known, ok := p.firing[key]
		switch {
		case !a.ResolvedAt.IsZero():
			if ok {
				known.Resolved = a.ResolvedAt
				delete(p.firing, key)
			}
		case !ok:
			known = &Alert{
				Name: a.Labels.Get(labels.AlertName), Labels: a.Labels, Fired: a.FiredAt,
				Summary: a.Annotations.Get("summary"),
			}
			p.firing[key] = known
			p.alerts = append(p.alerts, known)
		}
	}
}
