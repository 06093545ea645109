package luks

import (
	"bytes"
	"errors"
	"slices"

	"funlab.casa/attestation_exporter/tpm"
)

// A Verdict says whether the values that a boot was measured to satisfy a policy.
type Verdict string

// The verdicts.
const (
	Satisfied   Verdict = "satisfied"
	Unsatisfied Verdict = "unsatisfied"
	// Unread says that a PCR's value is missing, which the reading's error explains.
	Unread Verdict = ""
	// Unforetellable policies depend on more than the firmware's measurements: a
	// signature that may have been renewed, a PIN, a network, PCRs that a running
	// system extends, or a value on which log and chip don't agree.
	Unforetellable Verdict = "unforetellable"
)

// A pin is one condition for a key: a sealed object, an unknown thing, or a
// number of other pins.
type pin struct {
	// sealed is the policy of an object in a TPM.
	sealed *sealed
	// opaque says that the TPM is asked, but by a policy that can't be judged.
	opaque bool
	// threshold and pins make a secret shared among pins (clevis sss).
	threshold int
	pins      []pin
}

// A sealed object opens when a policy session over its PCRs gives its policy.
type sealed struct {
	session tpm.Bank // the name algorithm of the object, which is the session's hash
	bank    tpm.Bank
	pcrs    tpm.PCRSet
	policy  tpm.Digest
}

// verdict judges the object. Without any PCR it opens on each boot of its TPM,
// which is a hole in a disk's protection but no obstacle to a boot.
func (s sealed) verdict(values tpm.Measured) Verdict {
	if s.pcrs == 0 && len(s.policy) == 0 {
		return Satisfied
	}
	if s.pcrs == 0 || !foretellable(s.pcrs) {
		return Unforetellable
	}
	switch boot := s.satisfiedBy(values.Boot); {
	case boot != Unsatisfied:
		return boot
	case s.satisfiedBy(values.Chip) == Satisfied:
		// Either the log lacks events, and then the next boot is as good as this
		// one; or something has extended a PCR since, the key was sealed to that,
		// and the next boot will not get there.
		return Unforetellable
	}
	return Unsatisfied
}

func (s sealed) satisfiedBy(values tpm.Values) Verdict {
	computed, err := tpm.PolicyPCR(s.session, s.bank, s.pcrs, values)
	switch {
	case errors.Is(err, tpm.ErrValueMissing):
		return Unread
	case err != nil:
		return Unforetellable
	case bytes.Equal(computed, s.policy):
		return Satisfied
	}
	return Unsatisfied
}

// foretellable tells whether the next boot will show PCRs as this one began: so
// it is with those that only firmware extends.
func foretellable(pcrs tpm.PCRSet) bool {
	for index := range pcrs.All() {
		if !tpm.StaysPut(index) {
			return false
		}
	}
	return true
}

// verdict judges the pin by the verdict on each sealed object in it.
func (p pin) verdict(judge func(sealed) Verdict) Verdict {
	switch {
	case p.sealed != nil:
		return judge(*p.sealed)
	case len(p.pins) == 0:
		return Unforetellable
	}
	count := map[Verdict]int{}
	for _, each := range p.pins {
		count[each.verdict(judge)]++
	}
	switch {
	case count[Satisfied] >= p.threshold:
		return Satisfied
	case len(p.pins)-count[Unsatisfied] < p.threshold:
		return Unsatisfied
	case count[Unread] > 0:
		return Unread
	}
	return Unforetellable
}

// involvesTPM tells whether a TPM is asked at all.
func (p pin) involvesTPM() bool {
	return p.sealed != nil || p.opaque || slices.ContainsFunc(p.pins, pin.involvesTPM)
}

// needsTPM tells whether the key can't be had without a TPM.
func (p pin) needsTPM() bool {
	if len(p.pins) == 0 {
		return p.sealed != nil || p.opaque
	}
	without := 0
	for _, each := range p.pins {
		if !each.needsTPM() {
			without++
		}
	}
	return without < p.threshold
}

// objects returns the sealed objects in the pin.
func (p pin) objects() []sealed {
	if p.sealed != nil {
		return []sealed{*p.sealed}
	}
	var all []sealed
	for _, each := range p.pins {
		all = append(all, each.objects()...)
	}
	return all
}
