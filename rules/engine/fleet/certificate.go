package fleet

import "time"

// SPIRE and most authorities put the begin of a certificate a little into the past.
const backdated = 10 * time.Second

// A Certificate is a file, an endpoint, an SVID or an EK certificate.
type Certificate struct {
	Kind, Name  string
	From, Until time.Time
	// Broken is one whose file is half written, Short one without its intermediate,
	// Silent that of an endpoint that doesn't answer.
	Broken, Short, Silent bool

	// seen is when an exporter that isn't told when it began saw it first.
	undated   bool
	seen      time.Time
	authority string
	life      time.Duration
	renewAt   time.Time
	// share of its life at which it is renewed by its owner; 0 if a timer does.
	share, jitter float64
}

func (c *Certificate) issue(f *Fleet, at time.Time) {
	c.seen = time.Time{}
	c.From, c.Until = at.Add(-backdated), at.Add(-backdated).Add(c.life)
	if c.share > 0 {
		share := c.share * (1 + c.jitter*(2*f.random.Float64()-1))
		c.renewAt = c.From.Add(time.Duration(share * float64(c.life)))
	}
}

func (c *Certificate) step(f *Fleet, now time.Time) {
	if c.share > 0 && !c.renewAt.After(now) {
		c.issue(f, now)
	}
}

// Line is when less than a share of its life, and less than a limit, is left.
func (c *Certificate) Line(share float64, limit time.Duration) time.Time {
	left := min(time.Duration(share*float64(c.Until.Sub(c.From))), limit)
	return c.Until.Add(-left)
}

// unread is the reason for which it can't be read, or none.
func (c *Certificate) unread() string {
	switch {
	case c.Silent:
		return "unreachable"
	case c.Broken:
		return "malformed"
	}
	return ""
}

func (c *Certificate) expose(to Exposition, now time.Time) {
	if reason := c.unread(); reason != "" {
		to.Set(1, "attestation_certificate_load_failed", "kind", c.Kind, "name", c.Name, "reason", reason)
		return
	}
	if c.undated {
		if c.seen.IsZero() {
			c.seen = now
		}
		to.Set(unix(c.seen), "attestation_certificate_first_seen_timestamp_seconds", "kind", c.Kind, "name", c.Name)
	} else {
		to.Set(unix(c.From), "attestation_certificate_not_before_timestamp_seconds", "kind", c.Kind, "name", c.Name)
	}
	to.Set(unix(c.Until), "attestation_certificate_not_after_timestamp_seconds", "kind", c.Kind, "name", c.Name)
	to.Set(1, "attestation_certificate_info", "kind", c.Kind, "name", c.Name, "subject", "CN="+c.Name, "issuer", "CN=intermediate")
	if c.authority != "" {
		to.Set(truth(!c.Short), "attestation_certificate_chain_valid", "kind", c.Kind, "name", c.Name, "authority", c.authority)
	}
}
