package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"funlab.casa/attestation_exporter/duty"
	"funlab.casa/attestation_exporter/finding"
	"funlab.casa/attestation_exporter/reader"
)

const (
	// foundPatience bounds the search for all places. A file system that hangs costs
	// that, and not the start.
	foundPatience = 5 * time.Second
	// maxFound bounds what one collector may say: its places come from files that
	// others wrote.
	maxFound = 100
)

// A look finds the places that a collector reads.
type look func(context.Context) ([]finding.Finding, error)

// places are what a topic reads. Whoever reads the topic looks for them, for only he
// sees what the reading will see.
type places struct {
	topic[[]finding.Finding]
}

func (t topic[R]) places(direct look) places {
	return places{topic[[]finding.Finding]{t.name + "-places", t.absent, direct}}
}

// question marks what the reader found as the reader's.
func (p places) question() *reader.Question {
	asked := p.topic
	asked.direct = func(ctx context.Context) ([]finding.Finding, error) {
		found, err := p.direct(ctx)
		for i := range found {
			found[i].Reader = true
		}
		return found, err
	}
	return asked.question()
}

// look is for the exporter.
func (p places) look(client reader.Client) look { return p.by(client) }

// with adds what another look finds.
func (l look) with(other look) look {
	return func(ctx context.Context) ([]finding.Finding, error) {
		here, hereErr := l(ctx)
		there, thereErr := other(ctx)
		return append(here, there...), errors.Join(hereErr, thereErr)
	}
}

// A foundList is what one collector found, or why it found nothing.
type foundList struct {
	collector string
	found     []finding.Finding
	err       error
}

// found lets all enabled collectors look side by side, and lists them in the order
// of their flags.
func (c *choices) found(ctx context.Context, enabled map[string]parts, client reader.Client) []foundList {
	ctx, cancel := context.WithTimeout(ctx, foundPatience)
	defer cancel()
	var lists []foundList
	for _, one := range c.all {
		if _, ok := enabled[one.name]; ok {
			lists = append(lists, foundList{collector: one.name})
		}
	}
	var wg sync.WaitGroup
	for i := range lists {
		wg.Go(func() { lists[i].fill(ctx, enabled[lists[i].collector].found(client)) })
	}
	wg.Wait()
	return lists
}

// fill looks, but no longer than ctx lasts.
func (l *foundList) fill(ctx context.Context, look look) {
	found, err := duty.New(foundPatience, look).Read(ctx)
	if over := len(found) - maxFound; over > 0 {
		found = found[:maxFound]
		err = errors.Join(err, fmt.Errorf("%d more places", over))
	}
	for _, f := range found {
		if !slices.Contains(l.found, f) {
			l.found = append(l.found, f)
		}
	}
	l.err = err
}

// logFound writes one line a collector. What was found at the start is not what must
// be read later: most of it is looked for at each reading.
func logFound(ctx context.Context, logger *slog.Logger, lists []foundList) {
	for _, list := range lists {
		attributes := []slog.Attr{slog.String("collector", list.collector)}
		var whats []string
		told := map[string][]string{}
		for _, f := range list.found {
			if told[f.What] == nil {
				whats = append(whats, f.What)
			}
			told[f.What] = append(told[f.What], fmt.Sprintf("%s (%s)", orDash(f.Place), strings.Join(because(f), ", ")))
		}
		for _, what := range whats {
			attributes = append(attributes, slog.String(what, strings.Join(told[what], ", ")))
		}
		if list.err != nil {
			attributes = append(attributes, slog.Any("err", list.err))
		}
		logger.LogAttrs(ctx, slog.LevelInfo, "Found", attributes...)
	}
}

// because is why a place is read, as far as that is known.
func because(f finding.Finding) []string {
	known := []string{f.From}
	if f.State != "" {
		known = append(known, string(f.State))
	}
	if f.Reader {
		known = append(known, "reader")
	}
	return known
}

// printFound writes a table with one line a place, and below it what wasn't found.
func printFound(out io.Writer, lists []foundList) error {
	rows := [][]string{{"COLLECTOR", "WHAT", "PLACE", "FROM", "STATE", "FOUND BY"}}
	for _, list := range lists {
		for _, f := range list.found {
			by := "exporter"
			if f.Reader {
				by = "reader"
			}
			rows = append(rows, []string{list.collector, orDash(f.What), orDash(f.Place), orDash(f.From), orDash(string(f.State)), by})
		}
	}
	if err := printColumns(out, rows); err != nil {
		return err
	}
	for _, list := range lists {
		if list.err != nil {
			note := strings.ReplaceAll(list.err.Error(), "\n", "; ")
			fmt.Fprintf(out, "%s: %s\n", list.collector, printable(note))
		}
	}
	return nil
}

// maxColumn is how wide one cell makes its column. A longer one, such as a pattern of
// all timers, pushes aside what follows in its own row alone.
const maxColumn = 56

func printColumns(out io.Writer, rows [][]string) error {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			if width := utf8.RuneCountInString(cell); width <= maxColumn {
				widths[i] = max(widths[i], width)
			}
		}
	}
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			fmt.Fprintf(&line, "%-*s  ", widths[i], cell)
		}
		if _, err := fmt.Fprintln(out, strings.TrimRight(line.String(), " ")); err != nil {
			return err
		}
	}
	return nil
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return printable(text)
}

// printable quotes a text with characters that a terminal would obey.
func printable(text string) string {
	if strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(text)
	}
	return text
}
