package main

import (
	"fmt"
	"log/slog"

	"github.com/alecthomas/kingpin/v2"

	"funlab.casa/attestation_exporter/collector"
	"funlab.casa/attestation_exporter/systemd"
)

func addTimer(app *kingpin.Application) build {
	var options systemd.Options
	app.Flag("collector.timer.include", "Timers to watch if they are installed, as an anchored regular expression.").
		Default(systemd.DefaultInclude).StringVar(&options.Include)
	app.Flag("collector.timer.expected", "Timer that must be there. Repeatable.").
		PlaceHolder("NAME.timer").StringsVar(&options.Expected)
	return func(*slog.Logger) (parts, error) {
		units, err := systemd.New(options)
		if err != nil {
			return parts{}, fmt.Errorf("--collector.timer: %w", err)
		}
		return unprivileged(collector.NewTimer(units.Read), units.Findings), nil
	}
}
