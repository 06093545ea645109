// Command mutate breaks the rules, one place at a time, and tells which breaks the
// promtool cases don't notice. It is run by hand. A mutant is shown only to the
// cases that can tell the broken rule from the whole one, each cut down to the
// rules that it reads, the cheapest first, until one fails.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"time"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	flags := flag.NewFlagSet("mutate", flag.ContinueOnError)
	folder := flags.String("rules", "..", "folder of the rules and their cases")
	only := flags.String("only", "", "only mutants whose file, rule, kind and place, with spaces between, contain this")
	seed := flags.Uint64("seed", 1, "their order")
	except := flags.String("except", "", "leave out the mutants that this file names, one a line, as -list does")
	limit := flags.Duration("limit", 0, "try no other after this time; 0 is all")
	list := flags.Bool("list", false, "name the mutants, and try none")
	if err := flags.Parse(args); err != nil {
		return err
	}
	files, err := readRuleFiles(*folder)
	if err != nil {
		return err
	}
	cases, err := readCases(*folder)
	if err != nil {
		return err
	}
	all, err := mutants(files)
	if err != nil {
		return err
	}
	tried, err := readNames(*except)
	if err != nil {
		return err
	}
	chosen := slices.DeleteFunc(choose(all, *only, *seed), func(m mutant) bool { return tried[m.String()] })
	if len(chosen) == 0 {
		return errors.New("no mutant was made")
	}
	if *list {
		for _, m := range chosen {
			fmt.Fprintln(out, m)
		}
		return nil
	}
	var deadline time.Time
	if *limit > 0 {
		deadline = time.Now().Add(*limit)
	}
	return try(newTrial(newPack(files), cases), chosen, deadline, out)
}

// readNames are the lines of a file; no path is none. A name that no mutant has is
// of a rule that has changed since.
func readNames(path string) (map[string]bool, error) {
	if path == "" {
		return nil, nil
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read names of mutants: %w", err)
	}
	names := map[string]bool{}
	for line := range strings.Lines(string(raw)) {
		names[strings.TrimSpace(line)] = true
	}
	return names, nil
}

// choose puts the mutants into an order that can be broken off anywhere: one of
// each kind of each rule, at random, then a second one of each, and so on.
func choose(all []mutant, only string, seed uint64) []mutant {
	random := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // A repeatable choice is wanted, not a secret one.
	type ranked struct {
		mutant
		round int
	}
	var chosen []ranked
	rounds := map[[2]string]int{}
	for _, place := range random.Perm(len(all)) {
		m := all[place]
		if !strings.Contains(m.String(), only) {
			continue
		}
		kind := [2]string{m.rule.name, m.kind}
		chosen = append(chosen, ranked{m, rounds[kind]})
		rounds[kind]++
	}
	slices.SortStableFunc(chosen, func(a, b ranked) int { return cmp.Compare(a.round, b.round) })
	mutants := make([]mutant, 0, len(chosen))
	for _, r := range chosen {
		mutants = append(mutants, r.mutant)
	}
	return mutants
}

// try names each survivor as it is found, so that a run that is broken off was not
// for nothing, and ends with the figures.
func try(t *trial, chosen []mutant, deadline time.Time, out io.Writer) error {
	made, survived := map[[2]string]int{}, map[[2]string]int{}
	tried := 0
	for _, m := range chosen {
		if !deadline.IsZero() && time.Now().After(deadline) {
			break
		}
		caught, err := t.catches(context.Background(), m)
		if err != nil {
			return fmt.Errorf("%s: %w", m, err)
		}
		tried++
		place := [2]string{m.file.name, m.kind}
		made[place]++
		if !caught {
			survived[place]++
			fmt.Fprintf(out, "%d survived: %s\n", tried, m)
		}
	}
	writeFigures(out, made, survived)
	fmt.Fprintf(out, "\n%d of %d tried\n", tried, len(chosen))
	return nil
}

// writeFigures writes a table of the mutants made and of those caught, a row a
// kind and a column a file.
func writeFigures(out io.Writer, made, survived map[[2]string]int) {
	var files, kinds []string
	for place := range made {
		files, kinds = append(files, place[0]), append(kinds, place[1])
	}
	slices.Sort(files)
	slices.Sort(kinds)
	files, kinds = slices.Compact(files), slices.Compact(kinds)
	fmt.Fprintf(out, "\n| caught of made | %s | all |\n|%s\n",
		strings.ReplaceAll(strings.Join(files, " | "), ".rules.yml", ""), strings.Repeat(" --- |", len(files)+2))
	for _, kind := range append(kinds, "all") {
		fmt.Fprintf(out, "| %s |", kind)
		for _, file := range append(files, "all") {
			var of, lost int
			for place, n := range made {
				if cmp.Or(file == "all", place[0] == file) && cmp.Or(kind == "all", place[1] == kind) {
					of, lost = of+n, lost+survived[place]
				}
			}
			switch of {
			case 0:
				fmt.Fprint(out, " |")
			default:
				fmt.Fprintf(out, " %d of %d |", of-lost, of)
			}
		}
		fmt.Fprintln(out)
	}
}
