package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
)

// A trial shows mutants to the cases. Its batches are in the order in which they
// are tried: many cheap cases at once, a costly one alone.
type trial struct {
	pack    *pack
	cases   []testCase
	batches map[string][]*batch
}

type batch struct {
	cases []*cutCase
	cost  int
	// Sound is that the cases are known to pass with the whole rule.
	sound bool
}

// enough evaluations of rules take promtool about as long as its start.
const enough = 1000

func newTrial(p *pack, cases []testCase) *trial {
	return &trial{p, cases, map[string][]*batch{}}
}

// catches is whether a case fails with the mutant that passes without it.
func (t *trial) catches(ctx context.Context, m mutant) (bool, error) {
	for _, b := range t.about(m.rule.name) {
		mend := m.broke()
		passed, err := t.pass(ctx, b)
		mend()
		if err != nil {
			return false, err
		}
		if passed {
			continue
		}
		if !b.sound {
			if b.sound, err = t.pass(ctx, b); err != nil {
				return false, err
			}
			if !b.sound {
				return false, fmt.Errorf("%s fails with the whole rule, too", b.cases[0].file)
			}
		}
		return true, nil
	}
	return false, nil
}

// about are the cases about a rule, the cheapest first.
func (t *trial) about(rule string) []*batch {
	if known, ok := t.batches[rule]; ok {
		return known
	}
	var cuts []*cutCase
	for _, c := range t.cases {
		if cut := c.about(rule, t.pack); cut != nil {
			cuts = append(cuts, cut)
		}
	}
	slices.SortStableFunc(cuts, func(a, b *cutCase) int { return cmp.Compare(a.cost(), b.cost()) })
	var batches []*batch
	for _, c := range cuts {
		if last := len(batches) - 1; last >= 0 && batches[last].cost+c.cost() <= enough {
			batches[last].cases = append(batches[last].cases, c)
			batches[last].cost += c.cost()
			continue
		}
		batches = append(batches, &batch{cases: []*cutCase{c}, cost: c.cost()})
	}
	t.batches[rule] = batches
	return batches
}

// pass is whether promtool finds nothing wrong.
func (t *trial) pass(ctx context.Context, b *batch) (bool, error) {
	scratch, err := os.MkdirTemp("", "mutate")
	if err != nil {
		return false, fmt.Errorf("make a scratch folder: %w", err)
	}
	defer func() { _ = os.RemoveAll(scratch) }()
	args := []string{"test", "rules"}
	for i, c := range b.cases {
		path, err := c.write(filepath.Join(scratch, strconv.Itoa(i)), t.pack)
		if err != nil {
			return false, fmt.Errorf("write a case: %w", err)
		}
		args = append(args, path)
	}
	err = exec.CommandContext(ctx, "promtool", args...).Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("run promtool, which `make tools` unpacks: %w", err)
	}
	return true, nil
}
