package systemd

import (
	"math"
	"time"

	"funlab.casa/attestation_exporter/failure"
)

// maxStateLength bounds the strings that a unit's state is made of. systemd's
// longest is "dead-resources-pinned".
const maxStateLength = 64

// properties are a unit's D-Bus properties by name, as Properties.GetAll gives
// them. Whoever owns the name on the bus wrote them, so nothing is believed of
// their types. The first wrong one is kept in err and ends the decoding.
type properties struct {
	values map[string]any
	err    error
}

// text returns a property of D-Bus type s of at most limit bytes.
func (p *properties) text(name string, limit int) string {
	value, ok := p.values[name].(string)
	switch {
	case !ok:
		p.failf("property %s is %T, not a string", name, p.values[name])
	case len(value) > limit:
		p.failf("property %s has %d bytes, more than %d", name, len(value), limit)
	default:
		return value
	}
	return ""
}

// state returns a property that is one word of systemd's own.
func (p *properties) state(name string) string {
	value := p.text(name, maxStateLength)
	if value == "" {
		p.failf("property %s is empty", name)
	}
	return value
}

// usec returns a property of D-Bus type t, a number of microseconds.
func (p *properties) usec(name string) uint64 {
	value, ok := p.values[name].(uint64)
	if !ok {
		p.failf("property %s is %T, not an unsigned 64-bit number", name, p.values[name])
	}
	return value
}

// moment returns a timestamp in microseconds since 1970.
func (p *properties) moment(name string) time.Time {
	return fromRealtime(p.usec(name))
}

// flag returns a property of D-Bus type b.
func (p *properties) flag(name string) bool {
	value, ok := p.values[name].(bool)
	if !ok {
		p.failf("property %s is %T, not a boolean", name, p.values[name])
	}
	return value
}

func (p *properties) failf(format string, args ...any) {
	if p.err == nil {
		p.err = failure.Errorf(failure.Malformed, format, args...)
	}
}

// span adds up microseconds. It is nil where one of them, or the sum, is
// "infinity" or longer than a Duration can be (292 years).
func span(usecs ...uint64) *time.Duration {
	const longest = uint64(math.MaxInt64 / int64(time.Microsecond))
	var sum uint64
	for _, usec := range usecs {
		if usec > longest-sum {
			return nil
		}
		sum += usec
	}
	d := time.Duration(sum) * time.Microsecond
	return &d
}
