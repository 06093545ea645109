package keylime

import (
	"bytes"
	"io"

	"funlab.casa/attestation_exporter/regular"
)

// A component is a part of Keylime with a configuration of its own.
type component struct {
	name  string
	parse parse
	// keys are the allow-list: nothing else of a file is kept.
	keys []string
	// known is each component's own, since one file may be named for several of them.
	known regular.Memory[parsed]
}

// A value is one setting and where it came from, for errors that mustn't quote it.
type value struct {
	text string
	from string // file:line, file, or the name of the environment variable
	err  error  // of a setting that has no text, where it is asked for
}

// values holds the settings of one component by key: those of an allow-list.
type values map[string]value

// A parse takes the allowed keys of a section out of a configuration file. Nothing
// else of the text leaves it, neither in values nor in errors.
type parse func(path string, text []byte, section string, allowed []string) (values, error)

// parsed is what became of a file. A mistake in it is kept, too.
type parsed struct {
	values values
	err    error
}

// maxConfig is how long a configuration file may be.
const maxConfig = 1 << 20

// load parses a configuration file, unless it is as it was when that was done before.
func (c *component) load(path string) (parsed, error) {
	found, _, err := c.known.Load(path, maxConfig, func(r io.Reader) (found parsed, err error) {
		text, err := io.ReadAll(r)
		if err != nil {
			return found, err
		}
		// Some editors put a mark in front of the text.
		found.values, found.err = c.parse(path, bytes.TrimPrefix(text, []byte("\ufeff")), c.name, c.keys)
		return found, nil
	})
	return found, err
}

// take adds what is wanted of a file, over what is there.
func (v values) take(found parsed, wanted []string) error {
	if found.err != nil {
		return found.err
	}
	for _, key := range wanted {
		setting, set := found.values[key]
		if setting.err != nil {
			return setting.err
		}
		if set {
			v[key] = setting
		}
	}
	return nil
}
