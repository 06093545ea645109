package spire

import (
	"sync"
	"time"

	"funlab.casa/attestation_exporter/certs"
)

// A sighting remembers when a certificate was first seen. SPIRE's debug APIs tell
// when a certificate ends and not when it began; what has been seen of its life says
// how much of it is left at the worst. Its zero value is ready.
type sighting struct {
	mu    sync.Mutex
	ends  time.Time // tells one certificate from the one that replaces it
	since time.Time
}

// date completes a certificate that was seen at now.
func (s *sighting) date(c *certs.Certificate, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ends.Equal(c.NotAfter) {
		s.ends, s.since = c.NotAfter, now
	}
	c.FirstSeen = s.since
}
