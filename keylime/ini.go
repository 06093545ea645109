package keylime

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// parseINI reads the form of Python's configparser without interpolation, which is
// what Keylime's Python components read: keys in any case, values that go on in
// indented lines, comments only in lines of their own.
func parseINI(path string, text []byte, section string, allowed []string) (values, error) {
	parser := iniParser{section: section, allowed: allowed, found: values{}, seen: map[string]bool{}}
	for i, line := range strings.Split(string(text), "\n") {
		where := fmt.Sprintf("%s:%d", path, i+1)
		if err := parser.line(strings.TrimRight(line, " \t\r"), where); err != nil {
			return nil, fmt.Errorf("%s: %w", where, err)
		}
	}
	return parser.found, nil
}

type iniParser struct {
	section string
	allowed []string
	found   values
	seen    map[string]bool // section and key: configparser refuses a second one

	current string // section of the line, empty before the first
	key     string // key that an indented line would continue
	indent  int
}

func (p *iniParser) line(line, where string) error {
	bare := strings.TrimLeft(line, " \t")
	indent := len(line) - len(bare)
	switch {
	case bare == "", bare[0] == '#', bare[0] == ';':
		return nil
	case p.key != "" && indent > p.indent:
		return p.goOn(bare)
	case bare[0] == '[':
		name, _, closed := strings.Cut(bare[1:], "]")
		if !closed {
			return errors.New("a section without its closing bracket")
		}
		p.current, p.key = name, ""
		return nil
	case p.current == "":
		return errors.New("a line before the first section")
	}
	at := strings.IndexAny(bare, "=:")
	if at <= 0 {
		return errors.New("neither a section nor a key with a value")
	}
	key := strings.ToLower(strings.TrimSpace(bare[:at]))
	if p.seen[p.current+"\x00"+key] {
		return errors.New("a key that was there already")
	}
	p.seen[p.current+"\x00"+key] = true
	p.key, p.indent = key, indent
	if p.wanted(key) {
		// A part of the text would hold on to the whole, in which there are passwords.
		p.found[key] = value{text: strings.Clone(strings.TrimSpace(bare[at+1:])), from: where}
	}
	return nil
}

// maxValue bounds a value, which each of its lines makes anew.
const maxValue = 16 << 10

func (p *iniParser) goOn(more string) error {
	if !p.wanted(p.key) {
		return nil
	}
	begun := p.found[p.key]
	if len(begun.text)+len(more) > maxValue {
		return fmt.Errorf("a value longer than %d bytes", maxValue)
	}
	begun.text += "\n" + more
	p.found[p.key] = begun
	return nil
}

func (p *iniParser) wanted(key string) bool {
	return p.current == p.section && slices.Contains(p.allowed, key)
}
