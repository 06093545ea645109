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

	"funlab.casa/attestation_exporter/boot"
	"funlab.casa/attestation_exporter/luks"
	"funlab.casa/attestation_exporter/reader"
	"funlab.casa/attestation_exporter/tpm"
)

// The questions that the privileged reader answers.
const (
	questionTPM  = "tpm"
	questionBoot = "boot"
	questionLUKS = "luks"
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
		command: app.Command("reader", "Answer a fixed list of questions about the TPM, the boot and the disks on --reader.socket, to the exporter alone."),
	}
	r.allowed = r.command.Flag("allow-user", "User who may ask, by name or number. Repeatable.").PlaceHolder("USER").Strings()
	return r
}

func (r readerCommand) client() reader.Client {
	return reader.Client{Socket: *r.socket, Version: version.Version}
}

// serve answers until ctx ends.
func (r readerCommand) serve(ctx context.Context, logger *slog.Logger, layer *tpmLayer) error {
	uids, err := userIDs(*r.allowed)
	if err != nil {
		return err
	}
	readings, err := layer.direct(logger)
	if err != nil {
		return err
	}
	listener, err := reader.Listen(*r.socket)
	if err != nil {
		return fmt.Errorf("--reader.socket=%s: %w", *r.socket, err)
	}
	logger.Info("Answering", "version", version.Info(), "socket", listener.Addr(), "users", *r.allowed)
	return reader.Server{
		Version:  version.Version,
		Allowed:  uids,
		Deadline: reader.DefaultDeadline,
		Logger:   logger,
		Questions: []*reader.Question{
			reader.NewQuestion(questionTPM, tpm.ErrAbsent, readings.tpm),
			reader.NewQuestion(questionBoot, boot.ErrAbsent, readings.boot),
			reader.NewQuestion(questionLUKS, luks.ErrAbsent, readings.luks),
		},
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

// preferReader asks the reader wherever its socket is there at the moment of the
// reading.
func preferReader[R any](client reader.Client, question string, absent error, direct func(context.Context) (R, error)) func(context.Context) (R, error) {
	ask := reader.Ask[R](client, question, absent)
	return func(ctx context.Context) (R, error) {
		if client.Present() {
			return ask(ctx)
		}
		return direct(ctx)
	}
}
