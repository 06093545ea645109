// Package finding says which places of a host a source reads, and who named each.
//
// It looks whether a place is there and may be read, and opens none: what a finding
// holds is a name and never content. The package does not know how a place is found;
// that is the source's own to say.
package finding

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// Who named a place, where it wasn't a configuration file, an environment variable
// or the kernel: those are told by their own names.
const (
	Flag    = "flag"
	Default = "default"
)

// A State is whether a place is there. The zero State says that nobody looked:
// nothing is asked over the network for a finding.
type State string

// The states.
const (
	There  State = "there"
	Absent State = "absent"
	// Closed is a place that may not be read, or not even be seen.
	Closed State = "closed"
)

// A Finding is one place that is read.
type Finding struct {
	// What is the last word of the flag that says otherwise, where there is one.
	What string
	// Place is a path, an address, a URL without its user, or a pattern.
	Place string
	// From is who named the place: Flag, Default, or the name of what did.
	From  string
	State State
	// Reader is whether the privileged reader looked, with its own rights and flags.
	Reader bool
}

// At makes the finding of a path, and looks for it.
func At(what, path, from string) Finding {
	return Finding{What: what, Place: path, From: from, State: look(path)}
}

// Named makes the finding of something that can't be looked for on this host's file
// system.
func Named(what, place, from string) Finding {
	return Finding{What: what, Place: place, From: from}
}

// Matching makes the finding of a pattern that names so many paths, or can't be
// followed because of err.
func Matching(what, pattern, from string, matches int, err error) Finding {
	found := Finding{What: what, Place: pattern, From: from, State: Absent}
	switch {
	case matches > 0:
		found.State = There
	case errors.Is(err, fs.ErrPermission):
		found.State = Closed
	}
	return found
}

// Whether returns who named a place that the user may have given.
func Whether(given bool) string {
	if given {
		return Flag
	}
	return Default
}

// look asks for the right that is needed: to write to a socket, to search a
// directory, to read all else.
func look(path string) State {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return Closed
	case err != nil:
		return Absent
	}
	var right uint32 = unix.R_OK
	switch {
	case info.Mode()&fs.ModeSocket != 0:
		right = unix.W_OK
	case info.IsDir():
		right = unix.X_OK
	}
	if unix.Faccessat(unix.AT_FDCWD, path, right, unix.AT_EACCESS) != nil {
		return Closed
	}
	return There
}
