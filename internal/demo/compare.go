package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"funlab.casa/attestation_exporter/internal/tower"
	"funlab.casa/attestation_exporter/internal/tower/child"
)

// Two seconds after it was written, a file is known by its time of change.
const settled = 3 * time.Second

// A contender is an exporter whose scrapes are timed, over one kept connection as
// Prometheus does it.
type contender struct {
	name, url, binary string
	client            http.Transport

	durations []time.Duration
	cpu       float64 // seconds that the process had used when the measurement began
	body      []byte
}

// compare times scrapes of the Tower's host, of node_exporter on this machine and of
// the least that an exporter in Go can be, in turns, and prints a table.
func compare(ctx context.Context, options tower.Options, floor string, out io.Writer) error {
	options.Day = 24 * time.Hour
	t, err := tower.Start(ctx, options)
	if err != nil {
		return err
	}
	defer t.Close()
	us := &contender{name: "attestation_exporter", url: t.ExporterURL + "/metrics", binary: options.Exporter}
	select {
	case <-time.After(settled):
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := us.warm(ctx); err != nil {
		return err
	}
	contenders := []*contender{us}
	for _, peer := range []struct {
		name, binary, listen string
		args                 []string
	}{
		{"node_exporter", "prometheus-node-exporter", "127.0.0.1:10248", []string{"--log.level=error"}},
		{"floor", floor, "127.0.0.1:10249", nil},
		{"floor, as many series", floor, "127.0.0.1:10250", []string{fmt.Sprintf("--series=%d", own(us.body))}},
	} {
		process, err := child.Start(exec.Command(peer.binary, append(peer.args, "--web.listen-address="+peer.listen)...)) //nolint:noctx // It is stopped below.
		if err != nil {
			return fmt.Errorf("%w: `make bench` makes it", err)
		}
		defer process.Stop()
		binary, err := exec.LookPath(peer.binary)
		if err != nil {
			return err
		}
		c := &contender{name: peer.name, url: "http://" + peer.listen + "/metrics", binary: binary}
		if err := c.warm(ctx); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		contenders = append(contenders, c)
	}
	for _, m := range []measurement{
		{"500 scrapes each, 50 in a row, in turns; the TPM is read every half second, and Keylime's servers a twentieth of the time", 10, 50, 0},
		{"40 scrapes each, one every two seconds, in which everything is read; the time between them counts as CPU, too", 40, 1, 2 * time.Second},
	} {
		if err := m.run(ctx, contenders, out); err != nil {
			return err
		}
	}
	return nil
}

// A measurement lets each contender in turn be scraped so often in a row.
type measurement struct {
	title        string
	turns, inRow int
	pause        time.Duration // after each turn of all
}

func (m measurement) run(ctx context.Context, contenders []*contender, out io.Writer) error {
	for _, c := range contenders {
		if err := c.begin(ctx); err != nil {
			return err
		}
	}
	for range m.turns {
		for _, c := range contenders {
			if err := c.scrapes(ctx, m.inRow); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
		}
		select {
		case <-time.After(m.pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	fmt.Fprintf(out, "\n%s:\n\n", m.title)
	fmt.Fprintln(out, "| exporter | p50 | p99 | CPU a scrape | series | resident memory | binary |")
	fmt.Fprintln(out, "| --- | --- | --- | --- | --- | --- | --- |")
	for _, c := range contenders {
		row, err := c.row()
		if err != nil {
			return err
		}
		fmt.Fprintln(out, row)
	}
	return nil
}

// begin forgets what was measured before.
func (c *contender) begin(ctx context.Context) error {
	if err := c.warm(ctx); err != nil {
		return err
	}
	c.durations = nil
	var err error
	c.cpu, err = sample(c.body, "process_cpu_seconds_total")
	return err
}

func (c *contender) scrapes(ctx context.Context, n int) error {
	for range n {
		begin := time.Now()
		var err error
		if c.body, err = get(ctx, &c.client, c.url); err != nil {
			return err
		}
		c.durations = append(c.durations, time.Since(begin))
	}
	return nil
}

// warm scrapes once, and waits for a contender that doesn't listen yet.
func (c *contender) warm(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		var err error
		if c.body, err = get(ctx, &c.client, c.url); err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return err
		}
	}
}

func (c *contender) row() (string, error) {
	slices.Sort(c.durations)
	n := len(c.durations)
	binary, err := os.Stat(c.binary)
	if err != nil {
		return "", err
	}
	resident, err := sample(c.body, "process_resident_memory_bytes")
	if err != nil {
		return "", err
	}
	cpu, err := sample(c.body, "process_cpu_seconds_total")
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("| %s | %.2f ms | %.2f ms | %.2f ms | %d | %.1f MB | %.1f MB |",
		c.name, milliseconds(c.durations[n/2]), milliseconds(c.durations[n*99/100]), (cpu-c.cpu)*1000/float64(n),
		series(c.body), resident/1e6, float64(binary.Size())/1e6), nil
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func series(exposition []byte) int {
	n := 0
	for line := range bytes.Lines(exposition) {
		if !bytes.HasPrefix(line, []byte("#")) {
			n++
		}
	}
	return n
}

// own counts the series that the exporter has beside those of its process.
func own(exposition []byte) int {
	n := 0
	for line := range bytes.Lines(exposition) {
		if bytes.HasPrefix(line, []byte("attestation_")) {
			n++
		}
	}
	return n
}

// sample returns the value of a metric without labels.
func sample(exposition []byte, metric string) (float64, error) {
	lines := bufio.NewScanner(bytes.NewReader(exposition))
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), metric+" "); ok {
			return strconv.ParseFloat(value, 64)
		}
	}
	return 0, fmt.Errorf("no metric %s", metric)
}
