// Command release builds the exporter and everything that is handed out with it, as
// .promu.yml and packaging/nfpm.yaml describe them. One commit gives the same bytes
// on every machine with the same Go: the only time in them is the commit's.
//
//	release build          the binary for this machine, at the top of the tree
//	release artefacts DIR  for each platform a tarball, a deb and an rpm, then the
//	                       software bill of materials and the checksums
//	release operator       the rules for the Prometheus Operator, in examples/operator
//	release check          whether the changelog and the tree are ready for a release
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "release: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("release", flag.ContinueOnError)
	version := flags.String("version", "", "version, instead of the one in VERSION")
	if err := flags.Parse(args); err != nil {
		return err
	}
	source, err := readSource(ctx, *version)
	if err != nil {
		return err
	}
	project, err := readProject(".promu.yml")
	if err != nil {
		return err
	}
	switch flags.Arg(0) {
	case "build":
		return build(ctx, project, source, here(), project.name())
	case "artefacts":
		if flags.NArg() != 2 {
			return errors.New("artefacts needs the folder to write to")
		}
		return makeArtefacts(ctx, project, source, flags.Arg(1))
	case "operator":
		return writeOperatorRules()
	case "check":
		return checkReady(ctx, source)
	}
	return fmt.Errorf("unknown command %q: build, artefacts DIR, operator or check", flags.Arg(0))
}
