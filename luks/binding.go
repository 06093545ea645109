package luks

import (
	"slices"
	"strings"

	"funlab.casa/attestation_exporter/tpm"
)

// Type names the program that made a binding and opens it.
type Type string

// The types.
const (
	Clevis  Type = "clevis"
	Systemd Type = "systemd-tpm2"
)

// A Binding is a token that gets its keyslot's key from a TPM.
type Binding struct {
	Token string // the token's number in the header
	Type  Type
	// Bank and PCRs say what the binding looks at: "sha256" and "0,2,4,7". Several
	// objects are told apart by semicolons, and both are empty for a binding to no
	// PCR at all. They are names for people; StandsOn is for joins.
	Bank string
	PCRs string
	// Verdict is about the PCRs alone. Whether this TPM can load the object is
	// another question: a cleared or another one can't.
	Verdict Verdict
	// StandsOn are the PCRs each of which, if it changes, closes the binding.
	StandsOn []PCR
}

// A PCR is one register in one bank.
type PCR struct {
	Bank  tpm.Bank
	Index int
}

// bind judges a token's pin.
func bind(holder keyholder, values tpm.Measured) Binding {
	judge := func(s sealed) Verdict { return s.verdict(values) }
	binding := Binding{Token: holder.token, Type: holder.kind, Verdict: holder.pin.verdict(judge)}
	var banks, sets []string
	for _, object := range holder.pin.objects() {
		if object.pcrs == 0 {
			continue
		}
		sets = append(sets, object.pcrs.String())
		if name := object.bank.String(); !slices.Contains(banks, name) {
			banks = append(banks, name)
		}
	}
	binding.Bank, binding.PCRs = strings.Join(banks, ";"), strings.Join(sets, ";")
	binding.StandsOn = standsOn(holder.pin, judge)
	return binding
}

// standsOn returns the PCRs whose change closes the pin. For one that is closed
// already, or can't be judged, each PCR counts.
func standsOn(p pin, judge func(sealed) Verdict) []PCR {
	var pcrs []PCR
	for _, object := range p.objects() {
		for index := range object.pcrs.All() {
			pcr := PCR{object.bank, index}
			if slices.Contains(pcrs, pcr) {
				continue
			}
			changed := p.verdict(func(s sealed) Verdict {
				if s.bank == pcr.Bank && s.pcrs.Has(pcr.Index) {
					return Unsatisfied
				}
				return judge(s)
			})
			if changed != Satisfied {
				pcrs = append(pcrs, pcr)
			}
		}
	}
	return pcrs
}

// selection names the PCRs whose values decide about the bindings.
func selection(holders []keyholder) tpm.Selection {
	wanted := tpm.Selection{}
	for _, holder := range holders {
		for _, object := range holder.pin.objects() {
			if object.pcrs != 0 && foretellable(object.pcrs) {
				wanted[object.bank] |= object.pcrs
			}
		}
	}
	return wanted
}
