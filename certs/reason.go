package certs

import (
	"errors"
	"io/fs"
	"syscall"

	"funlab.casa/attestation_exporter/failure"
	"funlab.casa/attestation_exporter/regular"
)

// A LoadReason says in one word why certificates could not be loaded. The words
// are a closed set, because they become the values of a label.
type LoadReason string

// The reasons. The first eight are of files, the next two of endpoints, the last
// three of either.
const (
	NotFound    LoadReason = "not_found"    // named by the user, or loaded earlier, and not there
	NotRegular  LoadReason = "not_regular"  // a directory, FIFO, device or socket
	TooLarge    LoadReason = "too_large"    // over the size limit
	SymlinkLoop LoadReason = "symlink_loop" // symbolic links that lead nowhere
	Changed     LoadReason = "changed"      // written to during both attempts to read it
	Malformed   LoadReason = "malformed"    // a certificate, or the whole, is not what it should be
	Empty       LoadReason = "empty"        // well-formed, and no certificate in it
	ReadError   LoadReason = "read_error"   // any other error of the file system

	TLS         LoadReason = "tls"         // something answered, and the handshake brought no certificate
	Unreachable LoadReason = "unreachable" // no connection

	Permission LoadReason = "permission" // the operating system refused
	Timeout    LoadReason = "timeout"    // no answer in time
	Internal   LoadReason = "internal"   // a fault of this program
)

// A LoadError is an error of loading certificates whose reason only the place
// where it arose can know.
type LoadError struct {
	Reason LoadReason
	Err    error
}

func (e *LoadError) Error() string { return e.Err.Error() }
func (e *LoadError) Unwrap() error { return e.Err }

// reasonOf returns the reason of a failed load, and "" for no error.
func reasonOf(err error) LoadReason {
	if err == nil {
		return ""
	}
	var known *LoadError
	switch {
	case errors.As(err, &known):
		return known.Reason
	case errors.Is(err, regular.ErrNotRegular):
		return NotRegular
	case errors.Is(err, regular.ErrTooLarge):
		return TooLarge
	case errors.Is(err, regular.ErrChanged):
		return Changed
	case isAbsent(err):
		return NotFound
	case errors.Is(err, syscall.ELOOP):
		return SymlinkLoop
	case errors.Is(err, fs.ErrPermission):
		return Permission
	case failure.Of(err) == failure.Timeout:
		return Timeout
	}
	return ReadError
}

// isAbsent reports whether err says that nothing has that path, which is also so
// when something on the way to it is no directory.
func isAbsent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}
