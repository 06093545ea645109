package certs

import (
	"cmp"
	"errors"
)

// ErrAbsent says that nothing that was to be read is on this host.
var ErrAbsent = errors.New("nothing to read on this host")

// The kinds of things that present certificates.
const (
	KindFile     = "file"
	KindEndpoint = "endpoint"
)

// A File is to be read.
type File struct {
	// Path is a file's, or where a Source reads it a pattern in the form of
	// path/filepath.Match.
	Path string
	// Optional says that it may be absent, silently, until it was there once.
	Optional bool
	// From is who named it, where that is neither the user nor this package.
	From string
}

// Reading is what the files and endpoints showed at one moment.
type Reading struct {
	Loads    []Load    // by kind and name
	Verdicts []Verdict // in the order of the configuration
}

func byKindAndName(a, b Load) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
}

// A Load is what came of one file or endpoint. A file of which a part is malformed
// has both a certificate and a failure.
type Load struct {
	Kind string
	// Name is the path of the file, or the pattern that couldn't be followed, or
	// host:port.
	Name string
	// Certificate is the one that ends first of those in the file, or presented.
	Certificate *Certificate `json:",omitempty"`
	Failed      LoadReason   `json:",omitempty"`
}

// A Verdict says whether the chain of a file or endpoint verifies, the validity of
// its leaf aside. An endpoint's is from its last handshake, and is about the host
// name too.
type Verdict struct {
	Kind      string
	Name      string
	Authority string // the path of the CA file, or AuthoritySystem
	Valid     bool
}

// AuthoritySystem stands for the authorities that the system trusts.
const AuthoritySystem = "system"
