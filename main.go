// The attestation_exporter turns the chain of trust of one host, from its TPM to
// its certificates and the timers that renew them, into Prometheus metrics.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	versioncollector "github.com/prometheus/client_golang/prometheus/collectors/version"
	"github.com/prometheus/common/promslog"
	promslogflag "github.com/prometheus/common/promslog/flag"
	"github.com/prometheus/common/version"
	"github.com/prometheus/exporter-toolkit/web/kingpinflag"

	"funlab.casa/attestation_exporter/collector"
)

const name = "attestation_exporter"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if status := exitError(0); errors.As(err, &status) {
		os.Exit(int(status))
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
}

// run is the program without its process: it parses args and serves, or prints to
// out, until ctx ends. Log lines go to log.
func run(ctx context.Context, args []string, out, log io.Writer) error {
	if len(args) > 0 && args[0] == statusName {
		flags, ok := cutConfiguration(args[1:])
		if !ok {
			return runStatus(ctx, args[1:], out)
		}
		args = append([]string{configurationName}, flags...)
	}
	app := kingpin.New(name, "Exports the state of a host's chain of trust to Prometheus: TPM, boot, disks, Keylime, certificates, trust bundles and timers.")
	app.Version(version.Print(name))
	app.HelpFlag.Short('h')
	app.UsageWriter(out)

	toolkit := kingpinflag.AddFlags(app, "127.0.0.1:10247")
	anonymous := app.Flag("web.allow-anonymous",
		"Listen on an address that isn't loopback even though no client has to prove who it is.").Bool()
	telemetryPath := app.Flag("web.telemetry-path", "Path under which to expose metrics.").Default("/metrics").String()
	maxRequests := app.Flag("web.max-requests", "Scrapes served at once; 0 is no limit.").Default("40").Int()
	timeout := app.Flag("scrape.timeout", "Time for a scrape that doesn't name its own timeout.").Default("10s").Duration()
	offset := app.Flag("scrape.timeout-offset", "Time taken off the scraper's own timeout, for the way back.").Default("500ms").Duration()
	logging := &promslog.Config{Writer: log}
	promslogflag.AddFlags(app, logging)
	choices := addCollectors(app)

	serve := app.Command("serve", "Serve metrics. This is what happens without a command, too.").Default()
	privileged := addReader(app)
	baseline := app.Command("baseline", "Print the current PCRs as a baseline file, as --collector.tpm.baseline reads it.")
	configuration := app.Command(configurationName, "Show which places the collectors read, and who named each: what status --configuration does.").Hidden()
	asking := app.Command(statusName, "Ask exporters and show on one screen what they say of their hosts. It takes flags of its own: see status --help.")

	command, err := app.Parse(args)
	if err != nil {
		return fmt.Errorf("%w, try --help", err)
	}
	logger := promslog.New(logging)

	switch command {
	case baseline.FullCommand():
		return choices.tpm.printBaseline(ctx, out)
	case privileged.command.FullCommand():
		return privileged.serve(ctx, logger, choices)
	case configuration.FullCommand():
		enabled, err := choices.build(logger)
		if err != nil {
			return err
		}
		return printFound(out, choices.found(ctx, enabled, privileged.client()))
	case asking.FullCommand():
		return errors.New("status is the first word of its command line, try status --help")
	case serve.FullCommand():
	}
	if err := checkTimes(*timeout, *offset); err != nil {
		return err
	}
	enabled, err := choices.build(logger)
	if err != nil {
		return err
	}
	client := privileged.client()
	made, err := collectorsOf(enabled, client)
	if err != nil {
		return err
	}
	set := collector.NewSet(logger, made)
	handler := collector.NewHandler(set, collector.HandlerOptions{
		Timeout:       *timeout,
		TimeoutOffset: *offset,
		MaxRequests:   *maxRequests,
		Process:       processCollectors(),
		Logger:        logger,
	})
	logger.Info("Starting", "version", version.Info(), "build_context", version.BuildContext(), "collectors", set.Names())
	var looking sync.WaitGroup
	defer looking.Wait()
	looking.Go(func() { logFound(ctx, logger, choices.found(ctx, enabled, client)) })
	return listen(ctx, logger, toolkit, *anonymous, *telemetryPath, handler)
}

func checkTimes(timeout, offset time.Duration) error {
	if timeout <= 0 {
		return fmt.Errorf("--scrape.timeout=%v must be positive, such as 10s", timeout)
	}
	if offset < 0 {
		return fmt.Errorf("--scrape.timeout-offset=%v must not be negative, such as 500ms", offset)
	}
	return nil
}

// processCollectors are what the exporter says of itself.
func processCollectors() []prometheus.Collector {
	return []prometheus.Collector{
		versioncollector.NewCollector(name),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	}
}
