package keylime

import (
	"path/filepath"
	"strings"
)

// listOf reads a list of file names: a Python literal such as ['a.crt', "b.crt"], or
// what the Rust agent takes for one, [a.crt, b.crt] and a.crt, b.crt.
func listOf(text string) []string {
	text = strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(text), "["), "]")
	var names []string
	for part := range strings.SplitSeq(text, ",") {
		if name := strings.Trim(part, "'\" \t\r\n"); name != "" {
			names = append(names, name)
		}
	}
	return names
}

// under joins a relative name to dir.
func under(dir, name string) string {
	if filepath.IsAbs(name) {
		return filepath.Clean(name)
	}
	return filepath.Join(dir, name)
}
