// Show runs a made-up fleet of three hosts with a day of its past in a Prometheus,
// to draw pictures of dashboards from.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"funlab.casa/attestation_exporter/internal/fleet"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "show:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	app := kingpin.New("show", "A made-up fleet of three hosts, in a Prometheus.")
	rules := app.Flag("rules", "Folder of the shipped rules.").Default("rules").String()
	past := app.Flag("past", "How much of the fleet's past there is.").Default("24h").Duration()
	ages := app.Arg("fault=age", "What is broken, and for how long: quote=40m.").StringMap()
	if _, err := app.Parse(args); err != nil {
		return err
	}
	f := fleet.Fleet{Broken: map[string]time.Time{}}
	for fault, age := range *ages {
		if _, known := fleet.Faults()[fault]; !known {
			var names []string
			for name, what := range fleet.Faults() {
				names = append(names, name+" ("+what+")")
			}
			return fmt.Errorf("no fault %q, there are: %s", fault, strings.Join(names, ", "))
		}
		since, err := time.ParseDuration(age)
		if err != nil {
			return fmt.Errorf("%s: %w", fault, err)
		}
		f.Broken[fault] = time.Now().Add(-since)
	}
	dir, err := os.MkdirTemp("", "fleet")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	fmt.Fprintf(out, "Making %v of a fleet's past in %s.\n", *past, dir)
	watched, err := fleet.Watch(ctx, f, fleet.Options{Dir: dir, Rules: *rules, Faster: 60, Interval: 5 * time.Second, Past: *past})
	if err != nil {
		return err
	}
	defer watched.Close()
	fmt.Fprintf(out, "Prometheus answers at %s; Ctrl-C ends it. Its rules wait a sixtieth of their time: give it a minute.\n", watched.URL)
	<-ctx.Done()
	return nil
}
