// Package tower stands up a miniature of the deployment that the exporter is for,
// on loopback: a host with a software TPM, a disk that is bound to it, certificates and
// the timers that renew them, Keylime, which attests it, SPIRE, which gives it
// identities, and beside them the exporter, Prometheus and Alertmanager with the
// shipped rules and configuration. Things of it can be broken and mended.
//
// TPM, D-Bus daemon, exporter, Prometheus and Alertmanager are the real programs.
// Firmware, Keylime, SPIRE, systemd and the services that renew things are played by
// this package.
package tower

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"funlab.casa/attestation_exporter/internal/tower/bus"
	"funlab.casa/attestation_exporter/internal/tower/child"
	"funlab.casa/attestation_exporter/internal/tower/swtpm"
)

// trustDomain is the deployment's own.
const trustDomain = "funlab.casa"

// Options say what to stand up.
type Options struct {
	// Dir is where all of it lives. It is emptied first.
	Dir string
	// Exporter is the exporter's binary.
	Exporter string
	// Shipped is the folder with the shipped rules/ and alertmanager/.
	Shipped string
	// Day is how long a day of the deployment's lasts here: lifetimes of
	// certificates and intervals of timers are shares or multiples of it.
	Day time.Duration
	// Watched says whether Prometheus and Alertmanager are wanted, too.
	Watched bool
	// Faster divides every `for` of the rules, and DeliverFaster every wait of
	// Alertmanager's, whose digest of warnings is slower than anybody wants to
	// watch. Nothing else differs from the shipped files but how long a copy of the
	// trust bundle may lag, which is the period of the deployment's own timer.
	Faster, DeliverFaster float64
	// Notify is called with each notification that arrives. It may be nil.
	Notify func(Notification)
	Log    io.Writer
}

// A Tower is running until Close.
type Tower struct {
	options Options
	dir     string
	closers []func()

	// Addresses of what answers HTTP.
	ExporterURL, PrometheusURL, AlertmanagerURL string

	tpm             *swtpm.TPM
	bus             *bus.Bus
	endpointAddress string
	attestation     attestation
	inbox           *inbox

	mu         sync.Mutex // guards what follows
	exporter   *child.Process
	root       *identity
	middle     *identity
	spire      identityProvider
	jobs       []*job
	chainShort bool // agent.crt is written without its intermediate
	broken     map[string]bool
}

// Start stands the Tower up. When it returns, everything answers. It ends with
// Close, or when ctx does.
func Start(ctx context.Context, options Options) (_ *Tower, err error) {
	dir, err := filepath.Abs(options.Dir)
	if err != nil {
		return nil, err
	}
	if err := clearDir(dir); err != nil {
		return nil, err
	}
	t := &Tower{options: options, dir: dir, broken: map[string]bool{}}
	ctx, cancel := context.WithCancel(ctx)
	t.onClose(cancel)
	defer func() {
		if err != nil {
			t.Close()
		}
	}()
	for _, step := range []struct {
		what string
		do   func(context.Context) error
	}{
		{"machine", t.startMachine},
		{"certificates", t.startCertificates},
		{"identities", t.startSPIRE},
		{"system bus", t.startBus},
		{"TLS endpoint", t.startEndpoint},
		{"attestation", t.startAttestation},
		{"exporter", t.startExporter},
		{"Prometheus", t.startPrometheus},
		{"Alertmanager", t.startAlertmanager},
	} {
		if err := step.do(ctx); err != nil {
			return nil, fmt.Errorf("start the %s: %w", step.what, err)
		}
	}
	var working sync.WaitGroup
	working.Go(func() { t.clockwork(ctx) })
	t.onClose(func() {
		cancel()
		working.Wait()
	})
	return t, nil
}

// clearDir empties dir, which must be one that a Tower made, or new: what somebody
// else keeps there is not for it to remove.
func clearDir(dir string) error {
	marker := filepath.Join(dir, "tower")
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if len(entries) > 0 {
		if _, err := os.Stat(marker); err != nil {
			return fmt.Errorf("%s isn't empty and no Tower made it", dir)
		}
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "log"), 0o755); err != nil {
		return err
	}
	return os.WriteFile(marker, nil, 0o644)
}

// sooner makes a wait of the deployment's as much shorter as the rules' waits are.
func (t *Tower) sooner(wait time.Duration) time.Duration {
	return time.Duration(float64(wait) / max(t.options.Faster, 1))
}

func (t *Tower) onClose(f func()) { t.closers = append(t.closers, f) }

// Close ends everything that Start started, the last first.
func (t *Tower) Close() {
	for _, f := range slices.Backward(t.closers) {
		f()
	}
	t.closers = nil
}

// Received returns the notifications that arrived so far, and a channel that is
// closed when there are more.
func (t *Tower) Received() ([]Notification, <-chan struct{}) { return t.inbox.all() }

func (t *Tower) path(elements ...string) string {
	return filepath.Join(append([]string{t.dir}, elements...)...)
}
