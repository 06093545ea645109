package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"funlab.casa/attestation_exporter/internal/tower"
)

const (
	// demoDay is long enough to read a page of a certificate's life, and short
	// enough to see it renewed.
	demoDay = 10 * time.Minute
	// demoFaster turns 15 seconds between scrapes into one, and 15 minutes of
	// patience into one minute; demoDeliverFaster the digest's 5 minutes into 5
	// seconds.
	demoFaster, demoDeliverFaster = 15, 60
)

// show runs a Tower until ctx ends or somebody stops it, and tells on out what
// happens.
func show(ctx context.Context, options tower.Options, out io.Writer) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	options.Day, options.Watched = demoDay, true
	options.Faster, options.DeliverFaster = demoFaster, demoDeliverFaster
	// Notifications come from another goroutine than the rest of what is said.
	var mu sync.Mutex
	say := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(out, format+"\n", args...)
	}
	options.Notify = func(n tower.Notification) { say("%s", n.Line()) }

	say("Starting a miniature Tower in %s: a software TPM and a disk bound to it, certificates, a trust bundle, timers, Keylime, SPIRE; then what watches them.", options.Dir)
	t, err := tower.Start(ctx, options)
	if err != nil {
		return err
	}
	defer func() {
		t.Close()
		say("Stopped. Nothing runs any more; logs are in %s/log.", options.Dir)
	}()
	if err := t.Serve(ctx, stop); err != nil {
		return err
	}
	say(`
  exporter      %s/metrics
  Prometheus    %s  (Alerts in its menu)
  Alertmanager  %s

A day of the deployment's lasts %v here, and every wait of the rules is %d times shorter: see %s/prometheus/rules.
Try in another terminal:

  make demo-break FAULT=quote         Keylime refuses the host, and SPIRE still trusts it
  make demo-break FAULT=bootloader    an update after which the disk won't open by itself
  make demo-break FAULT=agent-gone    the Keylime agent ends: one page, what follows is hidden
  make demo-break                     lists what else can be broken
  make demo-mend                      mends everything
  make demo-stop                      or Ctrl-C here

Notifications, as Alertmanager delivers them (the first is the watchdog, which always fires):
`, t.ExporterURL, t.PrometheusURL, t.AlertmanagerURL, demoDay, demoFaster, options.Dir)
	<-ctx.Done()
	return nil
}

func listFaults(out io.Writer) {
	fmt.Fprintln(out, "make demo-break FAULT=…, and the alerts to wait for:")
	for _, fault := range tower.Faults() {
		fmt.Fprintf(out, "  %-16s %s\n  %-16s   %s\n", fault.Name, fault.What, "", strings.Join(fault.Alerts, fault.Between()))
	}
}

// tellWhatToExpect says what was just broken. Its page arrives in the demo's own
// terminal, where somebody who looks at this one would miss it.
func tellWhatToExpect(out io.Writer, name string) {
	for _, fault := range tower.Faults() {
		if fault.Name != name {
			continue
		}
		fmt.Fprintf(out, "%s: %s.\nThe demo's terminal will show %s.\nAfterwards: make demo-mend FAULT=%s\n",
			name, fault.What, strings.Join(fault.Alerts, fault.Between()), name)
	}
}
