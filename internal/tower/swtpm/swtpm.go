// Package swtpm runs software TPMs for tests and for the demo.
//
// It needs the programs swtpm and, for EK certificates, swtpm_setup, swtpm_localca
// and certtool; as root or as anybody else. What it makes is a TPM for playing
// with: anybody who reaches its socket owns it.
package swtpm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
	"github.com/google/go-tpm/tpm2/transport/linuxudstpm"

	"funlab.casa/attestation_exporter/internal/tower/child"
)

// A TPM is a running swtpm.
type TPM struct {
	// Socket is a Unix socket that takes bare TPM commands, from one client at a
	// time.
	Socket string

	dir     string
	process *child.Process
}

// Manufacture makes the state of a TPM in dir, with EK certificates from a
// certificate authority that it makes there too, and PCRs in the named banks
// ("sha1", "sha256" …). It takes about two seconds.
func Manufacture(ctx context.Context, dir string, banks ...string) error {
	authority := filepath.Join(dir, "ca")
	for _, folder := range []string{authority, stateDir(dir)} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return err
		}
	}
	localca, err := find("swtpm_localca")
	if err != nil {
		return err
	}
	setup, err := find("swtpm_setup")
	if err != nil {
		return err
	}
	for name, lines := range map[string][]string{
		"setup.conf": {
			"create_certs_tool = " + localca,
			"create_certs_tool_config = " + filepath.Join(dir, "localca.conf"),
			"create_certs_tool_options = " + filepath.Join(dir, "localca.options"),
		},
		"localca.conf": {
			"statedir = " + authority,
			"signingkey = " + filepath.Join(authority, "signkey.pem"),
			"issuercert = " + filepath.Join(authority, "issuercert.pem"),
			"certserial = " + filepath.Join(authority, "certserial"),
		},
		"localca.options": {"--platform-manufacturer Tower", "--platform-version 1", "--platform-model Tower"},
	} {
		text := strings.Join(lines, "\n") + "\n"
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	command := exec.CommandContext(ctx, setup, "--tpm2", "--tpmstate", stateDir(dir),
		"--config", filepath.Join(dir, "setup.conf"), "--create-ek-cert", "--lock-nvram", "--overwrite",
		"--pcr-banks", strings.Join(banks, ","))
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("swtpm_setup: %w\n%s", err, output)
	}
	return nil
}

// Start runs the TPM whose state is in dir, and makes one without certificates
// where there is none. The TPM runs until Close; ctx bounds the start only.
func Start(ctx context.Context, dir string) (*TPM, error) {
	if err := os.MkdirAll(stateDir(dir), 0o700); err != nil {
		return nil, err
	}
	tpm := &TPM{Socket: filepath.Join(dir, "tpm.sock"), dir: dir}
	if err := tpm.start(ctx); err != nil {
		return nil, err
	}
	return tpm, nil
}

func stateDir(dir string) string { return filepath.Join(dir, "state") }

func find(program string) (string, error) {
	path, err := exec.LookPath(program)
	if err != nil {
		return "", fmt.Errorf("%w: `make tools` installs it", err)
	}
	return path, nil
}

func (t *TPM) start(ctx context.Context) error {
	program, err := find("swtpm")
	if err != nil {
		return err
	}
	t.process, err = child.Start(exec.CommandContext(context.WithoutCancel(ctx), program, "socket", "--tpm2",
		"--tpmstate", "dir="+stateDir(t.dir),
		"--server", "type=unixio,path="+t.Socket,
		"--log", "file="+filepath.Join(t.dir, "swtpm.log"),
		"--flags", "not-need-init,startup-clear"))
	if err != nil {
		return err
	}
	if err := t.awaitSocket(ctx); err != nil {
		return errors.Join(err, t.Close())
	}
	return nil
}

// awaitSocket returns when the TPM accepts connections.
func (t *TPM) awaitSocket(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "unix", t.Socket)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-poll.C:
		case <-t.process.Done():
			return fmt.Errorf("swtpm ended at once; see %s", filepath.Join(t.dir, "swtpm.log"))
		case <-ctx.Done():
			return fmt.Errorf("swtpm doesn't listen: %w", err)
		}
	}
}

// Do gives a transport to do, which may send any command.
func (t *TPM) Do(do func(transport.TPM) error) error {
	chip, err := linuxudstpm.Open(t.Socket)
	if err != nil {
		return err
	}
	return errors.Join(do(chip), chip.Close())
}

// Extend extends a PCR of all allocated banks, as a measurement does.
func (t *TPM) Extend(pcr int, measured string) error {
	return t.Do(func(chip transport.TPM) error {
		_, err := tpm2.PCREvent{
			PCRHandle: tpm2.AuthHandle{Handle: tpm2.TPMHandle(pcr), Auth: tpm2.PasswordAuth(nil)},
			EventData: tpm2.TPM2BEvent{Buffer: []byte(measured)},
		}.Execute(chip)
		return err
	})
}

// Restart ends the TPM and starts it again, as a reboot does: PCRs are back where
// they began, and the count of resets is one higher.
func (t *TPM) Restart(ctx context.Context) error {
	if err := t.Close(); err != nil {
		return err
	}
	return t.start(ctx)
}

// Reboot restarts the TPM and lets measure extend its PCRs before anybody else can
// read them, as firmware does: nobody sees a boot half done.
func (t *TPM) Reboot(ctx context.Context, measure func(transport.TPM) error) error {
	if err := t.Close(); err != nil {
		return err
	}
	hidden := *t
	hidden.Socket += ".boot"
	if err := hidden.start(ctx); err != nil {
		return err
	}
	t.process = hidden.process
	return errors.Join(hidden.Do(measure), os.Rename(hidden.Socket, t.Socket))
}

// Wedge makes the TPM accept commands and answer none, until Unwedge.
func (t *TPM) Wedge() error { return t.process.Signal(syscall.SIGSTOP) }

// Unwedge lets a wedged TPM go on.
func (t *TPM) Unwedge() error { return t.process.Signal(syscall.SIGCONT) }

// Close ends the TPM, wedged or not. Its state stays.
func (t *TPM) Close() error {
	t.process.Stop()
	if err := os.Remove(t.Socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
