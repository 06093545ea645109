// Package keylime reads a Keylime verifier, a registrar and this host's agent, and
// finds their addresses in Keylime's own configuration files.
//
// It only ever sends GET, never asks an agent for a quote (that makes the TPM
// work), and keeps of configuration files and answers an allow-list of fields:
// both hold secrets. What it says of an agent is what the verifier says; whether
// that is recent enough is for others to judge.
//
// Facts about Keylime in this package were found out on release 7.14.3.
package keylime

import "errors"

// ErrAbsent says that this part of Keylime isn't on this host and that nobody named
// one elsewhere.
var ErrAbsent = errors.New("not here")

// The bounds of what is believed. Keylime's own database columns hold 80 characters
// for an agent's id and a verifier's.
const (
	maxText   = 256     // bytes of an id, address or algorithm name
	maxAgents = 100_000 // in one answer
	maxEntry  = 1 << 20 // bytes of one agent in a bulk answer, policy and metadata included
	maxSmall  = 1 << 16 // bytes of a whole answer that isn't a list
)
