package spire

import (
	"testing"
	"time"

	"funlab.casa/attestation_exporter/certs"
)

func TestSighting(t *testing.T) {
	begin := time.Unix(1_800_000_000, 0)
	at := func(minutes int) time.Time { return begin.Add(time.Duration(minutes) * time.Minute) }
	steps := []struct {
		name            string
		now, ends, want int // minutes
	}{
		{"first", 20, 60, 20},
		{"again", 25, 60, 20},
		{"renewed", 31, 90, 31},
		{"again", 45, 90, 31},
		{"renewed for less", 46, 50, 46},
	}
	var s sighting
	for _, step := range steps {
		c := certs.Certificate{NotAfter: at(step.ends)}
		s.date(&c, at(step.now))
		if !c.FirstSeen.Equal(at(step.want)) {
			t.Errorf("%s: got first seen %s, want %s", step.name, c.FirstSeen, at(step.want))
		}
	}
}
