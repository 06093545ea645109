package fleet

import "time"

// boot is what the chip and the disk of a host were measured to.
type boot struct {
	// Generations of the kernel: installed, measured by this boot, enrolled with the
	// disk, and in the baseline. An update installs the next; a reboot measures it.
	installed, measured, enrolled, known int
	updateAt, enrolAt, baselineAt        time.Time
	failures                             int
	healAt                               time.Time
	measurements, violations             int
	// When this boot began, and whether it is one after which nobody looks at the disk.
	booted     time.Time
	unattended bool
}

// planReboot is once a week, early on Sundays, one host after the other.
func (h *Host) planReboot(after time.Time) {
	local := after.In(h.fleet.zone)
	day := time.Date(local.Year(), local.Month(), local.Day()+(7-int(local.Weekday()))%7, 4, 0, 0, 0, h.fleet.zone)
	if !day.After(after) {
		day = day.AddDate(0, 0, 7)
	}
	h.reboot = day.Add(h.fleet.between(0, 40*time.Minute))
}

// planUpdate is the kernel of the month, on the 24th.
func (h *Host) planUpdate(after time.Time) {
	local := after.In(h.fleet.zone)
	day := time.Date(local.Year(), local.Month(), 24, 6, 0, 0, 0, h.fleet.zone)
	if !day.After(after) {
		day = day.AddDate(0, 1, 0)
	}
	h.updateAt = day.Add(h.fleet.between(0, time.Hour))
}

// Unplanned moves the weekly reboots and the kernels of the month behind a moment:
// nobody reboots a host that is being mended.
func (f *Fleet) Unplanned(until time.Time) {
	for _, h := range f.Hosts() {
		if h.reboot.Before(until) {
			h.planReboot(until)
		}
		if h.updateAt.Before(until) {
			h.planUpdate(until)
		}
	}
}

// Install puts another kernel in the place of the one that was measured, Restore
// the same one again.
func (h *Host) Install() { h.installed++ }

// Restore takes back the kernel that Install put there.
func (h *Host) Restore() { h.installed = h.measured }

// Unbind leaves the disk with bindings of an earlier boot, Bind binds it anew.
func (h *Host) Unbind() { h.enrolled = h.measured - 1 }

// Bind binds the disk to what was measured.
func (h *Host) Bind() { h.enrolled = h.measured }

// TakeBaseline is what belongs to binding the disk anew.
func (h *Host) TakeBaseline(at time.Time) { h.known, h.baselineAt = h.measured, at }

// Clear is TPM2_Clear, which also forgets how often the chip was reset.
func (h *Host) Clear() { h.boots = 0 }

// Guess is somebody who tries PINs.
func (h *Host) Guess(tries int) { h.failures += tries }

// SwitchOff takes the host away until SwitchOn, which boots it.
func (h *Host) SwitchOff() { h.Gone = true }

// SwitchOn boots a host that was switched off.
func (h *Host) SwitchOn(now time.Time) { h.Gone, h.off, h.back = false, now, now.Add(time.Second) }

// Reboot takes the host away for the time that a boot lasts.
func (h *Host) Reboot(now time.Time) {
	h.off, h.back = now, now.Add(h.fleet.between(100*time.Second, 2*time.Minute))
	h.planReboot(now)
}

// RebootUnknown is a reboot after which nobody binds the disk anew, or takes a
// baseline, until Bind and TakeBaseline do.
func (h *Host) RebootUnknown(now time.Time) {
	h.Reboot(now)
	h.unattended = true
}

// Back is when the host was last booted.
func (h *Host) Back() time.Time { return h.booted }

// started is what a boot changes.
func (h *Host) started(at time.Time) {
	h.boots++
	h.booted = at
	h.PCR7Extended = false
	h.measurements, h.violations = 2500, 1
	if h.measured != h.installed {
		h.measured = h.installed
		if !h.unattended {
			h.enrolAt = at.Add(h.fleet.between(2*time.Minute, 40*time.Minute))
		}
	}
	h.unattended = false
	for _, t := range h.Timers {
		t.boot(h.fleet, at)
	}
	for _, c := range h.Certificates {
		if c.Kind == "svid" {
			c.issue(h.fleet, at)
		}
	}
}

func (h *Host) stepBoot(now time.Time) {
	if !h.updateAt.After(now) {
		h.installed++
		h.planUpdate(now)
	}
	if !h.enrolAt.IsZero() && !h.enrolAt.After(now) {
		h.enrolled, h.enrolAt = h.measured, time.Time{}
		h.TakeBaseline(now)
	}
	// Somebody's mistyped PIN of last week heals; log rotation is measured.
	if !h.healAt.After(now) {
		h.failures = max(0, h.failures-1)
		h.healAt = now.Add(h.fleet.between(2*time.Hour, 2*24*time.Hour))
		h.violations += 1 + h.fleet.random.IntN(3)
	}
	h.measurements += h.fleet.random.IntN(3)
}
