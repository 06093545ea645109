package engine_test

import (
	"maps"
	"slices"
	"testing"
)

// notRaised says of each alert that no fault raises why that is so.
func notRaised() map[string]string {
	return map[string]string{
		"AttestationWatchdog":         "it fires always",
		"AttestationParameterMissing": "it is about the rule files; rules/parameters-missing.test.yml takes away one parameter after the other",
		"IMAViolations":               "ordinary log rotation raises it, in quiet times as in troubled ones",
	}
}

// TestEveryAlertIsRaised finds an alert that is neither raised by a fault, for
// somebody to hear of or hidden, nor named with its reason.
func TestEveryAlertIsRaised(t *testing.T) {
	raised := map[string]bool{}
	for _, f := range faults() {
		for _, p := range f.pages {
			raised[p.alert] = true
		}
		for _, name := range f.hidden {
			raised[name] = true
		}
	}
	waits := simulate(t, seed).pack.Waits()
	for _, name := range slices.Sorted(maps.Keys(waits)) {
		if _, named := notRaised()[name]; raised[name] == named {
			t.Errorf("%s: raised by a fault: %t, named as one that isn't: %t, want one of the two", name, raised[name], named)
		}
	}
	for name := range raised {
		if _, there := waits[name]; !there {
			t.Errorf("%s: a fault raises it, and the pack hasn't got it", name)
		}
	}
	for name := range notRaised() {
		if _, there := waits[name]; !there {
			t.Errorf("%s is named as one that isn't raised, and the pack hasn't got it", name)
		}
	}
}
