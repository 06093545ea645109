// Command mutate breaks the rules, one place at a time, and tells which breaks the
// promtool cases don't notice. It is run by hand: each mutant runs the cases of
// its file.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
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
	count := flags.Int("count", 60, "how many mutants of each kind at most; 0 is all")
	only := flags.String("only", "", "only rules whose name or file contains this")
	seed := flags.Uint64("seed", 1, "which ones")
	if err := flags.Parse(args); err != nil {
		return err
	}
	all, err := mutants(*folder)
	if err != nil {
		return err
	}
	chosen := choose(all, *only, *count, *seed)
	if len(chosen) == 0 {
		return errors.New("no mutant was made")
	}
	return try(*folder, chosen, out)
}

// choose takes at most so many of each kind, at random.
func choose(all []mutant, only string, count int, seed uint64) []mutant {
	random := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // A repeatable choice is wanted, not a secret one.
	random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	kinds := map[string]int{}
	var chosen []mutant
	for _, m := range all {
		if !strings.Contains(m.file+" "+m.rule, only) || count > 0 && kinds[m.kind] >= count {
			continue
		}
		kinds[m.kind]++
		chosen = append(chosen, m)
	}
	return chosen
}

// try runs the cases against each mutant, two at a time, and writes a table.
func try(folder string, chosen []mutant, out io.Writer) error {
	verdicts := make([]string, len(chosen))
	errs := make([]error, len(chosen))
	slots := make(chan struct{}, 2)
	var group sync.WaitGroup
	for i, m := range chosen {
		group.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			verdicts[i], errs[i] = m.verdict(folder)
		})
	}
	group.Wait()
	survivors := 0
	fmt.Fprintln(out, "| rule | kind | place | verdict |\n| --- | --- | --- | --- |")
	for i, m := range chosen {
		if verdicts[i] == survived {
			survivors++
		}
		fmt.Fprintf(out, "| %s | %s | `%s` | %s |\n", m.rule, m.kind, strings.ReplaceAll(m.place, "|", "\\|"), verdicts[i])
	}
	fmt.Fprintf(out, "\n%d mutants, %d survived\n", len(chosen), survivors)
	return errors.Join(errs...)
}

const (
	survived = "survived"
	caught   = "caught"
)

// verdict runs the cases that stand beside the mutant's file, on a copy of the
// folder. Other files' cases may catch more; they take minutes.
func (m mutant) verdict(folder string) (string, error) {
	scratch, err := os.MkdirTemp("", "mutate")
	if err != nil {
		return "", fmt.Errorf("make a scratch folder: %w", err)
	}
	defer func() { _ = os.RemoveAll(scratch) }()
	files, err := filepath.Glob(filepath.Join(folder, "*.yml"))
	if err != nil {
		return "", err
	}
	args := []string{"test", "rules"}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return "", fmt.Errorf("copy the rules: %w", err)
		}
		name := filepath.Base(file)
		if name == m.file {
			content = m.content
		}
		if strings.HasPrefix(name, strings.TrimSuffix(m.file, ".rules.yml")) && strings.HasSuffix(name, ".test.yml") {
			args = append(args, name)
		}
		if err := os.WriteFile(filepath.Join(scratch, name), content, 0o600); err != nil { //nolint:gosec // The folder is this process' own, the name has no folder in it.
			return "", fmt.Errorf("copy the rules: %w", err)
		}
	}
	command := exec.CommandContext(context.Background(), "promtool", args...)
	command.Dir = scratch
	err = command.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return caught, nil
	case err != nil:
		return "", fmt.Errorf("run promtool, which `make tools` unpacks: %w", err)
	}
	return survived, nil
}
