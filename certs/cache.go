package certs

import "time"

// cache remembers what was parsed from files that have not changed since, so that
// a thousand of them cost a stat each. It isn't safe for concurrent use.
type cache[T any] struct {
	limit   int64
	parse   func(data []byte) T // keeps nothing of data
	open    func(path string) (file, error)
	now     func() time.Time
	entries map[string]entry[T]
}

type entry[T any] struct {
	version version
	content T
}

func newCache[T any](limit int64, parse func([]byte) T) *cache[T] {
	return &cache[T]{limit: limit, parse: parse, open: openFile, now: time.Now, entries: map[string]entry[T]{}}
}

// load returns what the file at path holds, and when it was last modified.
func (c *cache[T]) load(path string) (content T, modified time.Time, err error) {
	e, err := c.entry(path)
	if err != nil {
		delete(c.entries, path)
		return content, time.Time{}, err
	}
	return e.content, time.Unix(0, e.version.modified), nil
}

func (c *cache[T]) entry(path string) (entry[T], error) {
	info, err := statRegular(path, c.limit)
	if err != nil {
		return entry[T]{}, err
	}
	v, err := versionOf(info)
	if err != nil {
		return entry[T]{}, err
	}
	if e, ok := c.entries[path]; ok && e.version == v {
		return e, nil
	}
	begin := c.now()
	data, v, err := readFile(path, c.limit, c.open)
	if err != nil {
		return entry[T]{}, err
	}
	e := entry[T]{version: v, content: c.parse(data)}
	clear(data) // Private keys may stand beside the certificates.
	delete(c.entries, path)
	if v.stable(begin) {
		c.entries[path] = e
	}
	return e, nil
}

// keep forgets all files but those that a reading wanted.
func (c *cache[T]) keep(wanted func(path string) bool) {
	for path := range c.entries {
		if !wanted(path) {
			delete(c.entries, path)
		}
	}
}
