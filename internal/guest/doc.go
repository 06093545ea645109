// Package guest holds the test of the installed package on a host that breaks: its
// clock is set, its file systems hang, its memory ends, and its kernel watches what
// the processes do. `make conformance` runs it as root in a virtual machine, and
// nobody should elsewhere.
package guest
