package tower

import (
	"context"
	"fmt"
	"os/exec"

	"github.com/google/go-tpm/tpm2/transport"

	"funlab.casa/attestation_exporter/internal/tower/firmware"
	"funlab.casa/attestation_exporter/internal/tower/luks"
	"funlab.casa/attestation_exporter/internal/tower/swtpm"
	"funlab.casa/attestation_exporter/tpm"
)

// Where the files of the next boot, the firmware's log and the encrypted disk lie in
// the machine's folder.
const (
	shimFile     = "/boot/efi/EFI/debian/shimx64.efi"
	loaderFile   = "/boot/efi/EFI/debian/grubx64.efi"
	kernelFile   = "/boot/vmlinuz"
	eventLogFile = "/firmware/binary_bios_measurements"
	diskFile     = "/disk.luks"
)

// diskPCRs are those that the deployment binds its disks to.
const diskPCRs = "0,2,4,7"

// A build of a boot file is told from another one by its text.
const (
	installed = "as installed"
	updated   = "updated"
)

// bootFile makes one of the files that firmware and boot loader start.
func bootFile(file, build string) []byte {
	sections := map[string][]firmware.Section{
		shimFile:   firmware.Shim(build),
		loaderFile: firmware.GRUB(build),
		kernelFile: firmware.Kernel(build),
	}
	return firmware.Image(sections[file], "signed")
}

// machine is the host's own file system, as far as a boot goes.
func (t *Tower) machine() firmware.Host { return firmware.Host{Root: t.path("machine")} }

// install puts a build of a boot file where the next boot finds it and measures it.
func (t *Tower) install(file, build string) error {
	return t.machine().Write(file, bootFile(file, build))
}

// startMachine makes the TPM, boots the host, and binds its disk to that boot.
func (t *Tower) startMachine(ctx context.Context) error {
	dir := t.path("tpm")
	if err := swtpm.Manufacture(ctx, dir, "sha1", "sha256"); err != nil {
		return err
	}
	chip, err := swtpm.Start(ctx, dir)
	if err != nil {
		return err
	}
	t.tpm = chip
	t.onClose(func() { _ = chip.Close() })
	for _, file := range []string{shimFile, loaderFile, kernelFile} {
		if err := t.install(file, installed); err != nil {
			return err
		}
	}
	if err := t.boot(ctx, installed); err != nil {
		return err
	}
	if err := t.bindDisk(); err != nil {
		return err
	}
	return t.takeBaseline(ctx)
}

// boot restarts the TPM, extends its PCRs as the boot of a PC does that starts this
// build of the kernel, and leaves the firmware's log.
func (t *Tower) boot(ctx context.Context, kernel string) error {
	log := firmware.Log{Banks: []tpm.Bank{tpm.SHA1, tpm.SHA256}}
	for _, measured := range []struct {
		pcr  int
		what string
	}{
		{0, "firmware"}, {1, "firmware settings"}, {2, "option ROMs"}, {3, "option ROM settings"},
		{5, "partition table"}, {6, "maker's"},
	} {
		const postCode = 1 // EV_POST_CODE (Platform Firmware Profile, section 10.4.1)
		log.Measure(measured.pcr, postCode, []byte(measured.what), []byte(measured.what))
	}
	log.Variable("SecureBoot", []byte{1})
	log.Separators()
	log.Application(bootFile(shimFile, installed))
	log.Application(bootFile(loaderFile, installed))
	log.Application(bootFile(kernelFile, kernel))
	if err := t.tpm.Reboot(ctx, log.Extend); err != nil {
		return err
	}
	return t.machine().Write(eventLogFile, log.Bytes())
}

// bindDisk makes a disk that opens by the TPM in the state of this boot, and by a
// passphrase.
func (t *Tower) bindDisk() error {
	pcrs, err := tpm.ParsePCRs(diskPCRs)
	if err != nil {
		return err
	}
	var token luks.Token
	err = t.tpm.Do(func(chip transport.TPM) error {
		token, err = luks.Bind(chip, tpm.SHA256, pcrs)
		return err
	})
	if err != nil {
		return fmt.Errorf("bind the disk: %w", err)
	}
	image, err := luks.Image(true, token)
	if err != nil {
		return err
	}
	return t.machine().Write(diskFile, image)
}

// takeBaseline lets the exporter print the PCRs as they are, as its user would.
func (t *Tower) takeBaseline(ctx context.Context) error {
	baseline, err := exec.CommandContext(ctx, t.options.Exporter, "baseline", "--collector.tpm.device="+t.tpm.Socket).Output()
	if err != nil {
		return fmt.Errorf("take a baseline: %w", err)
	}
	return replace(t.path("pcr-baseline.json"), baseline)
}

func (t *Tower) machineArgs() []string {
	root := t.machine().Root
	return []string{
		"--collector.tpm.device=" + t.tpm.Socket,
		"--collector.tpm.baseline=" + t.path("pcr-baseline.json"),
		"--collector.boot.event-log=" + root + eventLogFile,
		"--collector.boot.file=" + root + shimFile,
		"--collector.boot.file=" + root + loaderFile,
		"--collector.boot.file=" + root + kernelFile,
		"--collector.luks.device=" + root + diskFile,
	}
}

// rebootInto installs a build of the kernel and boots it. A person has to unlock the
// disk where that is another build than it was bound to.
func (t *Tower) rebootInto(ctx context.Context, kernel string) error {
	if err := t.install(kernelFile, kernel); err != nil {
		return err
	}
	return t.boot(ctx, kernel)
}
