package certs

import (
	"context"
	"fmt"
	"slices"
)

// namedByOthers returns the files that the configuration of others names now. What it
// no longer names was moved by somebody, and isn't missed. Where a part of it can't be
// read, what was seen by its word is read on: that is bounded, as the names aren't.
func (r *round) namedByOthers(ctx context.Context) ([]File, error) {
	if r.source.named == nil {
		return nil, nil
	}
	files, err := r.source.named(ctx)
	for _, before := range r.source.others {
		_, seen := r.source.seen[before.Path]
		switch {
		case !seen, slices.ContainsFunc(files, func(f File) bool { return f.Path == before.Path }):
		case err != nil:
			files = append(files, before)
		default:
			delete(r.source.seen, before.Path)
		}
	}
	r.source.others = files
	if err != nil {
		return files, fmt.Errorf("look for the files that others name: %w", err)
	}
	return files, nil
}
