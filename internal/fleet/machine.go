package fleet

import (
	"strconv"
	"strings"
	"time"
)

// tpm is the TPM of a host. A wedged one has nothing but a failed collector.
func (f Fleet) tpm(p *page, h host, at time.Time) {
	if h.name == "auth" && f.broken("tpm-wedged", at) {
		return
	}
	extended := h.name == "spire" && f.broken("pcr7", at)
	p.add("attestation_tpm_info", 1, "manufacturer", "IFX", "vendor", "SLB9670", "firmware_version", "7.85.4555.0", "spec_revision", "1.38", "source", "reader")
	boot := strconv.Itoa(40+h.number) + ".0"
	for pcr := range 8 {
		n := strconv.Itoa(pcr)
		changed := extended && pcr == 7
		value := h.name + n
		if changed {
			value += "extended"
		}
		p.add("attestation_tpm_pcr_info", 1, "bank", "sha256", "pcr", n, "boot", boot, "digest", digest(value))
		p.claim("attestation_tpm_pcr_matches_baseline", !changed, "bank", "sha256", "pcr", n)
		p.claim("attestation_boot_event_log_matches", !changed, "bank", "sha256", "pcr", n)
	}
	p.moments("attestation_tpm_pcr_baseline_timestamp_seconds", h.booted(at).Add(20*time.Minute))
	uptime := at.Sub(h.booted(at))
	p.add("attestation_tpm_pcr_updates_total", 180+float64(int(uptime.Hours()*2.5)))
	p.add("attestation_tpm_resets_total", float64(40+h.number))
	p.add("attestation_tpm_restarts_total", 0)
	p.add("attestation_tpm_clock_seconds", uptime.Seconds()+4e7)
	p.claim("attestation_tpm_clock_safe", true)
	p.add("attestation_tpm_lockout_failures", 0)
	p.add("attestation_tpm_lockout_max_failures", 32)
	p.claim("attestation_tpm_locked_out", false)
	p.claim("attestation_tpm_self_test_passed", true)
}

const (
	loader = "/boot/efi/EFI/debian/shimx64.efi"
	kernel = "/boot/vmlinuz-6.12.48-amd64"
)

// boot is how the host was started, and what the next start will measure.
func (f Fleet) boot(p *page, h host, at time.Time) {
	p.add("attestation_boot_event_log_events", float64(112+3*h.number))
	p.claim("attestation_boot_secure_boot_enabled", true, "source", "log")
	p.claim("attestation_boot_forecast_available", true)
	p.claim("attestation_boot_file_matches_measured", true, "path", loader, "pcr", "4")
	p.claim("attestation_boot_file_matches_measured", h.name != "spire" || !f.broken("kernel", at), "path", kernel, "pcr", "4")
	hours := at.Sub(h.booted(at)).Hours()
	p.add("attestation_ima_measurements_total", 3100+400*float64(h.number)+float64(int(hours*1.7)))
	p.add("attestation_ima_violations_total", float64(int(hours/96)))
}

// disk is a volume with two clevis bindings and a passphrase.
func (f Fleet) disk(p *page, h host, at time.Time) {
	const device = "/dev/nvme0n1p3"
	satisfied := h.name != "spire" || !f.broken("pcr7", at)
	for token, pcrs := range map[string]string{"0": "0,2,4,7", "1": "7"} {
		if h.name == "spire" {
			pcrs = "0,2,4,7" // Both of them, so that a kernel update threatens the disk.
		}
		p.claim("attestation_luks_binding_satisfied", satisfied, "device", device, "token", token, "type", "clevis", "bank", "sha256", "pcrs", pcrs)
		p.claim("attestation_luks_binding_foretellable", true, "device", device, "token", token, "type", "clevis")
		for pcr := range strings.SplitSeq(pcrs, ",") {
			p.add("attestation_luks_binding_pcr_info", 1, "device", device, "token", token, "bank", "sha256", "pcr", pcr)
		}
	}
	p.add("attestation_luks_keyslots", 2, "device", device, "type", "tpm")
	p.add("attestation_luks_keyslots", 1, "device", device, "type", "other")
	p.claim("attestation_luks_header_readable", true, "device", device, "format", "luks2")
}
