package status

import (
	"fmt"
	"maps"
	"slices"
)

// A disk is what is known of one encrypted device.
type disk struct {
	satisfied    []string // tokens whose policy holds today
	unsatisfied  int
	unforetold   int
	otherSlots   float64
	slotsCounted bool
}

// disks says of each device whether the next boot will open it.
func (v view) disks() []Row {
	found := map[string]*disk{}
	of := func(one sample) *disk {
		name := one.label("device")
		if found[name] == nil {
			found[name] = &disk{}
		}
		return found[name]
	}
	for _, one := range v.samples["attestation_luks_binding_satisfied"] {
		if d := of(one); one.value == 1 {
			d.satisfied = append(d.satisfied, one.label("token"))
		} else {
			d.unsatisfied++
		}
	}
	for _, one := range v.samples["attestation_luks_binding_foretellable"] {
		if d := of(one); one.value == 0 {
			d.unforetold++
		}
	}
	for _, one := range v.samples.only("attestation_luks_keyslots", "type", "other") {
		d := of(one)
		d.otherSlots, d.slotsCounted = one.value, true
	}
	var rows []Row
	for _, device := range slices.Sorted(maps.Keys(found)) {
		rows = append(rows, v.disk(device, *found[device]))
	}
	return rows
}

func (v view) disk(device string, d disk) Row {
	threatened := 0
	for _, token := range d.satisfied {
		if v.threatened(device, token) {
			threatened++
		}
	}
	fallback := "no other way in"
	if d.otherSlots > 0 {
		fallback = counted(d.otherSlots, "other keyslot", "other keyslots")
	}
	var a alert
	var trouble string
	switch {
	case d.unforetold > 0:
	case len(d.satisfied) == 0 && d.unsatisfied > 0:
		a, trouble = diskUnlockWillFail, "the next boot won't unlock it: no TPM binding holds"
	case len(d.satisfied) > 0 && threatened == len(d.satisfied):
		a, trouble = diskUnlockAtRisk, "the next boot won't unlock it: it measures other files than the binding stands on"
	}
	if a == "" {
		return v.fine(Disk, device, "%s, %s", d.bindings(), fallback)
	}
	if d.slotsCounted && d.otherSlots == 0 {
		a = diskWithoutFallback
	}
	return v.wrong(a, Disk, device, "%s; %s", trouble, fallback)
}

func (d disk) bindings() string {
	total := len(d.satisfied) + d.unsatisfied + d.unforetold
	switch {
	case total == 0:
		return "no TPM binding"
	case d.unforetold > 0:
		return fmt.Sprintf("%d of %d TPM bindings can't be foretold", d.unforetold, total)
	}
	return fmt.Sprintf("%d of %d TPM bindings hold", len(d.satisfied), total)
}

// threatened reports whether a binding stands on a PCR that the next boot will
// measure something else into.
func (v view) threatened(device, token string) bool {
	for _, pcr := range v.samples.only("attestation_luks_binding_pcr_info", "device", device, "token", token) {
		if len(v.changed(pcr.label("pcr"))) > 0 {
			return true
		}
	}
	return false
}

// changed are the files of the next boot that differ, by the PCR that they go into.
func (v view) changed(pcr string) []sample {
	return slices.DeleteFunc(v.samples.only("attestation_boot_file_matches_measured", "pcr", pcr),
		func(file sample) bool { return file.value != 0 })
}
