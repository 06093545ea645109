package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/user"
	"strconv"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/version"

	"funlab.casa/attestation_exporter/collector"
	"funlab.casa/attestation_exporter/reader"
)

// readerCommand is the privileged half of the exporter.
type readerCommand struct {
	command *kingpin.CmdClause
	socket  *string
	allowed *[]string
}

func addReader(app *kingpin.Application) readerCommand {
	r := readerCommand{
		socket:  app.Flag("reader.socket", "Socket of the privileged reader, used where it exists.").Default(reader.DefaultSocket).String(),
		command: app.Command("reader", "Answer what the enabled collectors ask, a fixed list of questions, on --reader.socket to the exporter alone."),
	}
	r.allowed = r.command.Flag("allow-user", "User who may ask, by name or number. Repeatable.").PlaceHolder("USER").Strings()
	return r
}

func (r readerCommand) client() reader.Client {
	return reader.Client{Socket: *r.socket, Version: version.Version}
}

// buildReader watches the reader from the exporter.
func buildReader(*slog.Logger) (parts, error) {
	return parts{
		collector: func(client reader.Client) (collector.Collector, error) {
			return collector.NewReader(client.Greet), nil
		},
		found: func(client reader.Client) look { return client.Findings },
	}, nil
}

// serve answers until ctx ends.
func (r readerCommand) serve(ctx context.Context, logger *slog.Logger, choices *choices) error {
	uids, err := userIDs(*r.allowed)
	if err != nil {
		return err
	}
	questions, err := choices.questions(logger)
	if err != nil {
		return err
	}
	listener, err := reader.Listen(*r.socket)
	if err != nil {
		return fmt.Errorf("--reader.socket=%s: %w", *r.socket, err)
	}
	logger.Info("Answering", "version", version.Info(), "socket", listener.Addr(), "users", *r.allowed)
	return reader.Server{
		Version:   version.Version,
		Questions: questions,
		Allowed:   uids,
		Deadline:  reader.DefaultDeadline,
		Logger:    logger,
	}.Serve(ctx, listener)
}

// userIDs are the numbers of users that the operator named.
func userIDs(names []string) ([]uint32, error) {
	if len(names) == 0 {
		return nil, errors.New("--allow-user must name the user that the exporter runs as")
	}
	uids := make([]uint32, 0, len(names))
	for _, name := range names {
		number := name
		if known, err := user.Lookup(name); err == nil {
			number = known.Uid
		}
		uid, err := strconv.ParseUint(number, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("--allow-user=%s is no user of this host", name)
		}
		uids = append(uids, uint32(uid))
	}
	return uids, nil
}
