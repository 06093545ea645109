package spire

import (
	"testing"
	"time"
)

// TestRotate follows a domain through a day and a half, hour by hour.
func TestRotate(t *testing.T) {
	begin := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	now := begin
	domain, err := NewDomain("funlab.casa", 24*time.Hour, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name        string
		after       time.Duration
		changed     bool
		authorities int
		activeEnds  time.Duration
		prepared    bool
	}{
		{"fresh", 0, false, 1, 24 * time.Hour, false},
		{"an hour before half of its life", 11 * time.Hour, false, 1, 24 * time.Hour, false},
		{"half of its life", 12 * time.Hour, true, 2, 24 * time.Hour, true},
		{"an hour before a sixth is left", 19 * time.Hour, false, 2, 24 * time.Hour, true},
		{"a sixth is left", 20 * time.Hour, false, 2, 36 * time.Hour, false},
		{"half of the next one's life", 24 * time.Hour, true, 3, 36 * time.Hour, true},
		{"a sixth of that is left", 32 * time.Hour, false, 3, 48 * time.Hour, false},
		{"half of the third one's", 36 * time.Hour, true, 4, 48 * time.Hour, true},
		{"the first ended a day ago", 48*time.Hour + time.Second, true, 3, 60 * time.Hour, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			now = begin.Add(tt.after)
			changed, err := domain.Rotate()
			if err != nil {
				t.Fatal(err)
			}
			active, prepared, _ := domain.states()
			authorities := len(domain.Bundle().GetX509Authorities())
			ends := time.Unix(active.GetExpiresAt(), 0).Sub(begin)
			if changed != tt.changed || authorities != tt.authorities || ends != tt.activeEnds || (prepared != nil) != tt.prepared {
				t.Errorf("got changed %t, %d authorities, active until %v, prepared %t; want %t, %d, %v, %t",
					changed, authorities, ends, prepared != nil, tt.changed, tt.authorities, tt.activeEnds, tt.prepared)
			}
		})
	}
}
