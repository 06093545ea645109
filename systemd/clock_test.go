package systemd

import (
	"math"
	"testing"
	"time"
)

func at(text string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		panic(err)
	}
	return t
}

// noon is a host that has been up for an hour at noon.
func noon() Clock {
	return Clock{Realtime: at("2026-11-24T12:00:00Z"), Monotonic: time.Hour}
}

func TestMoments(t *testing.T) {
	const hour = uint64(time.Hour / time.Microsecond)
	noonUsec := uint64(noon().Realtime.UnixMicro())
	tests := []struct {
		name      string
		realtime  uint64
		monotonic uint64
		now       Clock
		want      time.Time
	}{
		{"neither", 0, 0, noon(), time.Time{}},
		{"both infinite", math.MaxUint64, math.MaxUint64, noon(), time.Time{}},
		{"one of each", 0, math.MaxUint64, noon(), time.Time{}},
		{"realtime", noonUsec + hour, 0, noon(), at("2026-11-24T13:00:00Z")},
		{"realtime, monotonic infinite", noonUsec + hour, math.MaxUint64, noon(), at("2026-11-24T13:00:00Z")},
		{"monotonic", 0, 3 * hour, noon(), at("2026-11-24T14:00:00Z")},
		{"monotonic, realtime infinite", math.MaxUint64, 3 * hour, noon(), at("2026-11-24T14:00:00Z")},
		{"monotonic in the past", 0, hour / 2, noon(), at("2026-11-24T11:30:00Z")},
		{"realtime is earlier", noonUsec + hour, 3 * hour, noon(), at("2026-11-24T13:00:00Z")},
		{"monotonic is earlier", noonUsec + 3*hour, 2*hour + 1, noon(), at("2026-11-24T13:00:00.000001Z")},
		{"first microsecond", 1, 0, noon(), at("1970-01-01T00:00:00.000001Z")},
		{"last", latest, 0, noon(), at("9999-12-31T23:59:59.999999Z")},
		{"just too late", latest + 1, 0, noon(), time.Time{}},
		{"monotonic just too late", 0, latest - noonUsec + hour + 1, noon(), time.Time{}},
		{"monotonic last", 0, latest - noonUsec + hour, noon(), at("9999-12-31T23:59:59.999999Z")},
		{"largest that isn't infinity", math.MaxUint64 - 1, math.MaxUint64 - 1, noon(), time.Time{}},
		{"largest signed", math.MaxInt64, math.MaxInt64, noon(), time.Time{}},
		{"a thousand years of 365.25 days from boot", 0, 1000 * 8766 * hour, noon(), at("3026-12-02T11:00:00Z")},
		{"clock before 1970", 0, 2 * hour, Clock{Realtime: at("1969-12-31T00:00:00Z"), Monotonic: time.Hour}, at("1969-12-31T01:00:00Z")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := earlier(fromRealtime(tt.realtime), fromMonotonic(tt.monotonic, tt.now))
			if !got.Equal(tt.want) {
				t.Errorf("moment of realtime %d and monotonic %d: got %v, want %v", tt.realtime, tt.monotonic, got, tt.want)
			}
		})
	}
}

func TestReadClock(t *testing.T) {
	first, err := readClock()
	if err != nil {
		t.Fatal(err)
	}
	second, err := readClock()
	if err != nil {
		t.Fatal(err)
	}
	if first.Monotonic <= 0 || second.Monotonic < first.Monotonic {
		t.Errorf("monotonic clock: got %v, then %v, want it to move forward from boot", first.Monotonic, second.Monotonic)
	}
}

func TestSpan(t *testing.T) {
	tests := []struct {
		name  string
		usecs []uint64
		want  time.Duration // −1 stands for none
	}{
		{"nothing", nil, 0},
		{"no delay", []uint64{0, 60_000_000}, time.Minute},
		{"both", []uint64{3_600_000_000, 60_000_000}, 61 * time.Minute},
		{"infinite accuracy", []uint64{0, math.MaxUint64}, -1},
		{"sum wraps around", []uint64{math.MaxUint64, 2}, -1},
		{"longest", []uint64{math.MaxInt64/1000 - 1, 1}, math.MaxInt64 / 1000 * time.Microsecond},
		{"one longer", []uint64{math.MaxInt64 / 1000, 1}, -1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := time.Duration(-1)
			if d := span(tt.usecs...); d != nil {
				got = *d
			}
			if got != tt.want {
				t.Errorf("span(%d): got %v, want %v", tt.usecs, got, tt.want)
			}
		})
	}
}
