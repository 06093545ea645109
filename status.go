package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/config"

	"funlab.casa/attestation_exporter/httpconfig"
	"funlab.casa/attestation_exporter/status"
)

const statusName = "status"

// An exitError ends the program with a number and no further word.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// statusCommand shows what exporters say.
type statusCommand struct {
	targets []status.Target
	client  *http.Client
	timeout time.Duration
	watch   time.Duration
	all     bool
	json    bool
	out     io.Writer
	screen  terminal
}

// configurationName is the command behind status --configuration: the one view that
// asks no exporter, and takes an exporter's flags instead.
const configurationName = "configuration"

// cutConfiguration returns what follows --configuration where that is the first word
// after status, as it must be: what follows is another program's command line.
func cutConfiguration(args []string) (flags []string, found bool) {
	if len(args) == 0 || args[0] != "--"+configurationName {
		return nil, false
	}
	return args[1:], true
}

// runStatus shows the state and returns an exitError by the convention of the
// monitoring plugins, for whom a wrong command line is UNKNOWN.
func runStatus(ctx context.Context, args []string, out io.Writer) error {
	command, err := parseStatus(args, out)
	if err != nil {
		fmt.Fprintf(out, "ATTESTATION %v: %v\n", status.Unknown, err)
		return exitError(status.Unknown)
	}
	return command.run(ctx)
}

// parseStatus reads a command line of its own: no flag of the exporter has a meaning
// for those who only ask it.
func parseStatus(args []string, out io.Writer) (*statusCommand, error) {
	app := kingpin.New(name+" "+statusName, "Asks exporters and shows on one screen what they say of their hosts: what needs a person, then the layers of the chain of trust. "+
		"Judges as the alerting rules do, but without waiting and without memory. "+
		"Exit status: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN; the first line is a monitoring plugin's.")
	app.HelpFlag.Short('h')
	app.UsageWriter(out)
	c := &statusCommand{out: out, screen: terminalOf(out)}
	urls := app.Arg("url", "Exporters to ask, side by side; one that doesn't answer is a row.").Default("http://127.0.0.1:10247/metrics").Strings()
	app.Flag("all", "Show each thing that was looked at, and not only the sums of the layers.").Short('a').BoolVar(&c.all)
	app.Flag("json", "Print JSON; docs/status.md describes it.").BoolVar(&c.json)
	app.Flag("watch", "Show it again after this time, until interrupted, such as 10s.").Short('w').PlaceHolder("INTERVAL").DurationVar(&c.watch)
	configuration := app.Flag(configurationName, "Show instead which places the collectors of this host read, and who named each; asks no exporter. It comes first, and what follows are the exporter's own flags: give those that it runs with.").Bool()
	app.Flag("timeout", "Time for each exporter to answer.").Default("10s").DurationVar(&c.timeout)
	clientFile := app.Flag("http-config", "File in Prometheus' http_config form: tls_config, basic_auth.").PlaceHolder("FILE").String()
	if _, err := app.Parse(args); err != nil {
		return nil, fmt.Errorf("%w, try %s %s --help", err, name, statusName)
	}
	if *configuration {
		return nil, fmt.Errorf("--%s must be the first word after %s", configurationName, statusName)
	}
	if c.watch != 0 && c.watch < time.Second {
		return nil, fmt.Errorf("--watch=%v must be 1s or more: each look is a scrape", c.watch)
	}
	if c.timeout <= 0 {
		return nil, fmt.Errorf("--timeout=%v must be positive, such as 10s", c.timeout)
	}
	var err error
	if c.targets, err = status.Targets(*urls); err != nil {
		return nil, err
	}
	c.client, err = statusClient(*clientFile)
	return c, err
}

// statusClient makes a client that follows no redirect and asks no proxy.
func statusClient(file string) (*http.Client, error) {
	settings := &config.HTTPClientConfig{}
	if file != "" {
		loaded, err := httpconfig.Load(file, httpconfig.Policy{BasicAuth: true})
		if err != nil {
			return nil, fmt.Errorf("--http-config: %w", err)
		}
		settings = loaded
	}
	client, err := config.NewClientFromConfig(*settings, statusName)
	if err != nil {
		return nil, fmt.Errorf("--http-config: %w", err)
	}
	return client, nil
}

// run shows the state once, or again and again until ctx ends.
func (c *statusCommand) run(ctx context.Context) error {
	verdict := status.Unknown
	for {
		answers := status.Ask(ctx, c.client, c.targets, c.timeout)
		if ctx.Err() != nil {
			break // What was cut off says nothing of the hosts: the last look stands.
		}
		report := status.Judge(answers, unixSeconds(time.Now()))
		if err := c.show(report); err != nil {
			return err
		}
		verdict = report.State
		if c.watch == 0 || !waited(ctx, c.watch) {
			break
		}
	}
	if verdict == status.OK {
		return nil
	}
	return exitError(verdict)
}

// waited reports whether a time went by before ctx ended.
func waited(ctx context.Context, pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (c *statusCommand) show(report status.Report) error {
	if c.json {
		encoder := json.NewEncoder(c.out)
		encoder.SetEscapeHTML(false)
		if c.watch == 0 {
			encoder.SetIndent("", "  ")
		}
		return encoder.Encode(report)
	}
	text := report.Screen(status.ScreenOptions{Width: c.screen.columns, Color: c.screen.color, Plugin: !c.screen.is, All: c.all})
	if c.watch != 0 {
		text = c.screen.frame(text)
	}
	_, err := io.WriteString(c.out, text)
	return err
}

func unixSeconds(moment time.Time) float64 { return float64(moment.UnixMilli()) / 1000 }
