package fleet

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"
)

// Expose writes what the host's exporter shows, and returns false for a scrape
// that nobody answers.
func (h *Host) Expose(to Exposition, now time.Time) bool {
	if !h.up(now) || h.Unseen {
		return false
	}
	for _, part := range h.parts(to, now) {
		if h.Without[part.collector] {
			continue
		}
		blind := h.ReaderDown && part.blind != nil
		to.Set(truth(!part.fails && !blind), "attestation_scrape_collector_success", "collector", part.collector)
		if blind {
			part.blind()
			continue
		}
		part.expose()
	}
	return true
}

// A part is what one collector shows.
type part struct {
	collector string
	fails     bool
	expose    func()
	// Blind is what it shows while the reader is down; none is one that needs no
	// reader.
	blind func()
}

func (h *Host) parts(to Exposition, now time.Time) []part {
	nothing := func() {}
	parts := []part{
		{"reader", h.ReaderDown, nothing, nil},
		{"tpm", h.TPMWedged, func() { h.exposeTPM(to) }, nothing},
		{"boot", h.TPMWedged, func() { h.exposeBoot(to) }, nothing},
		{"luks", false, func() { h.exposeDisk(to) }, nothing},
		{"keylime-agent", h.AgentDead || h.AgentHangs, func() {
			to.Set(truth(!h.AgentDead && !h.AgentHangs), "attestation_keylime_local_agent_up")
			to.Set(1, "attestation_keylime_local_agent_info", "agent", cmp.Or(h.Claims, h.AgentID))
		}, nothing},
		{"certificate", false, func() { h.exposeCertificates(to, now, "file", "endpoint", "ek", "svid") }, func() { h.exposeCertificates(to, now, "endpoint") }},
		{"spire-agent", !h.serves(now), func() { h.exposeSPIREAgent(to, now) }, func() { to.Set(0, "attestation_spire_agent_up") }},
		{"spire-plugins", false, func() { h.exposePlugins(to) }, nothing},
		{"trust-bundle", false, func() {
			h.Bundle.expose(h.fleet.Server, to, now)
			h.cached.expose(h.fleet.Server, to, now)
		}, nothing},
		{"timer", false, func() {
			for _, t := range h.Timers {
				t.expose(h, to)
			}
		}, nil},
	}
	if h == h.fleet.Spire || h.Standby {
		parts = append(parts, h.serverParts(to, now)...)
	}
	return parts
}

// serverParts are what the collectors of SPIRE's and Keylime's servers show. Their
// own files name the server to ask, and it is the reader that reads these.
func (h *Host) serverParts(to Exposition, now time.Time) []part {
	server, verifier := h.fleet.Server, "default"
	if h.Standby {
		verifier = "standby"
	}
	serving := server.serving(now) && !h.StandbyDown
	return []part{
		{"spire-server", !serving, func() { server.expose(to, serving) }, func() { to.Set(0, "attestation_spire_server_up", "trust_domain", "") }},
		{"keylime-verifier", h.fleet.Verifier.Down, func() { h.fleet.Verifier.expose(to, now, verifier) }, func() { to.Set(0, "attestation_keylime_verifier_up", "verifier", verifier) }},
		{"keylime-registrar", h.fleet.Verifier.RegistrarDown, func() { h.fleet.Verifier.exposeRegistrar(to) }, func() { to.Set(0, "attestation_keylime_registrar_up") }},
	}
}

func (h *Host) exposeCertificates(to Exposition, now time.Time, kinds ...string) {
	for _, c := range h.Certificates {
		if slices.Contains(kinds, c.Kind) {
			c.expose(to, now)
		}
	}
}

func (h *Host) exposeTPM(to Exposition) {
	if h.TPMWedged {
		return
	}
	to.Set(1, "attestation_tpm_info", "manufacturer", "IFX", "vendor", "SLB9670", "firmware_version", "7.85", "spec_revision", "1.38", "source", "device")
	id := fmt.Sprintf("%d.0", h.boots)
	for pcr := range 8 {
		digest := fmt.Sprintf("%064x", pcr+1)
		switch {
		case pcr == 4:
			digest = fmt.Sprintf("%064x", 1000+h.measured)
		case pcr == 7 && h.PCR7Extended:
			digest = fmt.Sprintf("%064x", 7777)
		}
		same := (pcr != 4 || h.known == h.measured) && (pcr != 7 || !h.PCR7Extended)
		to.Set(1, "attestation_tpm_pcr_info", "bank", "sha256", "pcr", strconv.Itoa(pcr), "digest", digest, "boot", id)
		to.Set(truth(same), "attestation_tpm_pcr_matches_baseline", "bank", "sha256", "pcr", strconv.Itoa(pcr))
	}
	to.Set(unix(h.baselineAt), "attestation_tpm_pcr_baseline_timestamp_seconds")
	to.Set(float64(h.boots), "attestation_tpm_resets_total")
	to.Set(0, "attestation_tpm_restarts_total")
	to.Set(1, "attestation_tpm_clock_safe")
	to.Set(float64(h.measurements), "attestation_tpm_pcr_updates_total")
	to.Set(float64(h.failures), "attestation_tpm_lockout_failures")
	to.Set(32, "attestation_tpm_lockout_max_failures")
	to.Set(truth(h.LockedOut), "attestation_tpm_locked_out")
	to.Set(truth(!h.SelfTestFailed), "attestation_tpm_self_test_passed")
}

func (h *Host) exposeBoot(to Exposition) {
	to.Set(58, "attestation_boot_event_log_events")
	to.Set(truth(!h.SecureBootOff), "attestation_boot_secure_boot_enabled", "source", "log")
	to.Set(float64(h.measurements), "attestation_ima_measurements_total")
	to.Set(float64(h.violations), "attestation_ima_violations_total")
	if h.TPMWedged {
		return
	}
	for pcr := range 8 {
		to.Set(truth((pcr != 7 || !h.PCR7Extended) && (pcr != 2 || !h.LogCutShort)), "attestation_boot_event_log_matches", "bank", "sha256", "pcr", strconv.Itoa(pcr))
	}
	to.Set(1, "attestation_boot_forecast_available")
	for _, path := range []string{"/boot/efi/EFI/debian/shimx64.efi", "/boot/efi/EFI/debian/grubx64.efi"} {
		to.Set(1, "attestation_boot_file_matches_measured", "path", path, "pcr", "4")
	}
	to.Set(truth(h.installed == h.measured), "attestation_boot_file_matches_measured", "path", "/boot/vmlinuz", "pcr", "4")
}

func (h *Host) exposeDisk(to Exposition) {
	const device = "/dev/nvme0n1p3"
	to.Set(1, "attestation_luks_header_readable", "device", device, "format", "luks2")
	for _, token := range []string{"0", "1"} {
		to.Set(truth(h.enrolled == h.measured), "attestation_luks_binding_satisfied", "device", device, "token", token, "type", "clevis", "bank", "sha256", "pcrs", "0,2,4,7")
		to.Set(1, "attestation_luks_binding_foretellable", "device", device, "token", token, "type", "clevis")
		for _, pcr := range []string{"0", "2", "4", "7"} {
			to.Set(1, "attestation_luks_binding_pcr_info", "device", device, "token", token, "bank", "sha256", "pcr", pcr)
		}
	}
	to.Set(2, "attestation_luks_keyslots", "device", device, "type", "tpm")
	to.Set(truth(!h.NoPassphrase), "attestation_luks_keyslots", "device", device, "type", "other")
}
