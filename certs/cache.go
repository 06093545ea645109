package certs

import (
	"io"
	"time"

	"funlab.casa/attestation_exporter/regular"
)

// cache remembers what was parsed from files that have not changed since.
type cache[T any] struct {
	regular.Memory[T]
	limit int64
	parse func(data []byte) T // keeps nothing of data
}

func newCache[T any](limit int64, parse func([]byte) T) *cache[T] {
	return &cache[T]{limit: limit, parse: parse}
}

// load returns what the file at path holds, and when it was last modified.
func (c *cache[T]) load(path string) (T, time.Time, error) {
	return c.Load(path, c.limit, func(r io.Reader) (content T, err error) {
		data, err := io.ReadAll(r)
		if err != nil {
			return content, err
		}
		defer clear(data) // Private keys may stand beside the certificates.
		return c.parse(data), nil
	})
}
