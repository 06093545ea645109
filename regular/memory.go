package regular

import (
	"io"
	"sync"
	"time"
)

// A Memory keeps what was made of files for as long as they stay as they were, so
// that a thousand of them cost a stat each. Its zero value is ready; it is safe for
// concurrent use.
type Memory[T any] struct {
	// Now tells whether a change is old enough to be told from the next one; nil is
	// time.Now.
	Now func() time.Time

	open    func(path string) (file, error) // nil outside of tests
	mu      sync.Mutex
	entries map[string]entry[T]
}

type entry[T any] struct {
	version version
	value   T
}

// Load returns what digest makes of the regular file at path, of at most limit
// bytes, and when the file was last modified. What came with an error is returned
// beside it, and isn't remembered.
func (m *Memory[T]) Load(path string, limit int64, digest func(io.Reader) (T, error)) (value T, modified time.Time, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, err := m.entry(path, limit, digest)
	if err != nil {
		delete(m.entries, path)
	}
	if e.version != (version{}) {
		modified = time.Unix(0, e.version.modified)
	}
	return e.value, modified, err
}

func (m *Memory[T]) entry(path string, limit int64, digest func(io.Reader) (T, error)) (e entry[T], err error) {
	v, err := look(path, limit)
	if err != nil {
		return e, err
	}
	if known, ok := m.entries[path]; ok && known.version == v {
		return known, nil
	}
	begin := m.now()
	opener := open
	if m.open != nil {
		opener = m.open
	}
	e.value, e.version, err = read(path, limit, opener, digest)
	if err != nil {
		return e, err
	}
	delete(m.entries, path)
	if e.version.stable(begin) {
		m.keep(path, e)
	}
	return e, nil
}

func (m *Memory[T]) now() time.Time {
	if m.Now != nil {
		return m.Now()
	}
	return time.Now()
}

func (m *Memory[T]) keep(path string, e entry[T]) {
	if m.entries == nil {
		m.entries = map[string]entry[T]{}
	}
	m.entries[path] = e
}

// Forget forgets all files that aren't wanted.
func (m *Memory[T]) Forget(wanted func(path string) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for path := range m.entries {
		if !wanted(path) {
			delete(m.entries, path)
		}
	}
}
