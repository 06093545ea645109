package systemd

import (
	"fmt"
	"strings"
)

// maxNameLength is systemd's UNIT_NAME_MAX less the final zero byte.
const maxNameLength = 255

// validateName returns an error unless name is the full name of a unit of the
// given kind: "name.kind" or the instance "name@instance.kind", as
// systemd.unit(5) has it. A template, "name@.kind", names no unit.
func validateName(name, kind string) error {
	if len(name) > maxNameLength {
		return fmt.Errorf("unit name of %d bytes is longer than %d", len(name), maxNameLength)
	}
	stem, found := strings.CutSuffix(name, "."+kind)
	if !found {
		return fmt.Errorf("unit name %q doesn't end in .%s", name, kind)
	}
	if i := strings.IndexFunc(name, notInName); i >= 0 {
		return fmt.Errorf("unit name %q has a character that isn't allowed at byte %d", name, i)
	}
	prefix, instance, isInstance := strings.Cut(stem, "@")
	switch {
	case prefix == "":
		return fmt.Errorf("unit name %q has nothing before its first %q", name, stem[len(prefix):]+"."+kind)
	case isInstance && instance == "":
		return fmt.Errorf("unit name %q is a template: name an instance, such as %s@INSTANCE.%s", name, prefix, kind)
	}
	return nil
}

// notInName tells whether c is outside the characters that systemd.unit(5)
// allows in a unit name.
func notInName(c rune) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return false
	}
	return !strings.ContainsRune(`:-_.\@`, c)
}
