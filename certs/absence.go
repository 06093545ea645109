package certs

import "os"

// sightings are the paths of files that were loaded once. What was here and is
// gone is a failure; what was never here is a host without it.
type sightings map[string]struct{}

// add is bounded: directories whose files get a new name at each renewal would
// otherwise fill the memory.
func (s sightings) add(path string) {
	if len(s) < maxMatches {
		s[path] = struct{}{}
	}
}

// excuse reports whether err says only that an optional file isn't here and never
// was. A symbolic link to nothing is here.
func (s sightings) excuse(f File, err error) bool {
	if err == nil || !f.Optional || !isAbsent(err) {
		return false
	}
	if _, seen := s[f.Path]; seen {
		return false
	}
	_, err = os.Lstat(f.Path)
	return err != nil
}
