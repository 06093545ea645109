// The demo stands up a miniature Tower on loopback, for newcomers to break; with
// other commands it shows or times the exposition of the Tower's host.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kingpin/v2"

	"funlab.casa/attestation_exporter/internal/tower"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	app := kingpin.New("demo", "A miniature Tower on loopback: a TPM and a disk, certificates, a bundle, timers, Keylime and SPIRE, and what watches them.")
	dir := app.Flag("dir", "Folder of the running demo.").Default(".demo").String()
	exporter := app.Flag("exporter", "The exporter's binary.").Default("./attestation_exporter").String()
	up := app.Command("up", "Start it, and end it with Ctrl-C.")
	breaking := app.Command("break", "Break something in the running demo.")
	broken := breaking.Arg("fault", "What to break; without it the faults are listed.").String()
	mending := app.Command("mend", "Undo a fault.")
	mended := mending.Arg("fault", "What to mend; without it everything.").String()
	stop := app.Command("stop", "End the running demo.")
	metrics := app.Command("metrics", "Print one exposition of the Tower's host.")
	bench := app.Command("bench", "Time scrapes of the Tower's host beside node_exporter's and the floor's.")
	floor := bench.Flag("floor", "The floor's binary.").Default(".build/floor").String()

	command, err := app.Parse(args)
	if err != nil {
		return err
	}
	options := tower.Options{Dir: *dir, Exporter: *exporter, Shipped: ".", Log: os.Stderr}
	switch command {
	case up.FullCommand():
		return show(ctx, options, out)
	case breaking.FullCommand():
		if *broken == "" {
			listFaults(out)
			return nil
		}
		if err := tower.Ask(ctx, *dir, "break/"+*broken); err != nil {
			return err
		}
		tellWhatToExpect(out, *broken)
		return nil
	case mending.FullCommand():
		return tower.Ask(ctx, *dir, "mend/"+cmp.Or(*mended, tower.Everything))
	case stop.FullCommand():
		return tower.Ask(ctx, *dir, "stop")
	case metrics.FullCommand():
		return printMetrics(ctx, options, out)
	case bench.FullCommand():
		return compare(ctx, options, *floor, out)
	}
	return errors.New("no such command")
}
