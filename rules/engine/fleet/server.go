package fleet

import (
	"slices"
	"time"
)

const (
	authorityLife = 24 * time.Hour
	// SPIRE prepares the next authority at half of the life of the active one,
	// activates it at five sixths, and keeps an expired one for a day.
	prepareAt   = authorityLife / 2
	activateAt  = authorityLife * 5 / 6
	keptExpired = 24 * time.Hour
	svidLife    = time.Hour
)

// GuestAgent is the Keylime agent of a host that has no exporter.
const GuestAgent = "99999999-0000-4000-8000-000000000008"

type authority struct{ from, until time.Time }

// A Server is the SPIRE server with its own certificate authority.
type Server struct {
	// Down is a server that doesn't answer, Stalled one that rotates nothing.
	Down, Stalled bool
	// Unwanted agents have been attested by join token.
	Unwanted int
	// Guest is when the SVID ends of an agent that renews nothing, on a host that has
	// no exporter; none is no such agent.
	Guest time.Time

	fleet    *Fleet
	active   authority
	prepared *authority
	old      []authority
	tainted  authority
}

func newServer(f *Fleet, start time.Time) *Server {
	s := &Server{fleet: f}
	began := start.Add(-f.between(0, activateAt-prepareAt))
	s.active = authority{began.Add(-backdated), began.Add(authorityLife)}
	return s
}

// live is the bundle: every authority that isn't forgotten.
func (s *Server) live() []authority {
	all := append(slices.Clone(s.old), s.active)
	if s.prepared != nil {
		all = append(all, *s.prepared)
	}
	return all
}

func (s *Server) serving(now time.Time) bool { return !s.Down && s.fleet.Spire.up(now) }

func (s *Server) step(now time.Time) {
	s.old = slices.DeleteFunc(s.old, func(a authority) bool { return now.After(a.until.Add(keptExpired)) })
	if s.fleet.Spire == nil || !s.serving(now) || s.Stalled {
		return
	}
	if age := now.Sub(s.active.from); s.prepared == nil && age >= prepareAt {
		s.prepared = &authority{now.Add(-backdated), now.Add(authorityLife)}
	}
	if s.prepared != nil && now.Sub(s.active.from) >= activateAt {
		s.old = append(s.old, s.active)
		s.active, s.prepared = *s.prepared, nil
	}
}

// Rotating is whether the next authority is prepared.
func (s *Server) Rotating() bool { return s.prepared != nil }

// Line is when the active authority should have been replaced long ago.
func (s *Server) Line() time.Time { return s.active.until.Add(-authorityLife / 8) }

// Taint withdraws the trust in the active authority, which stays in the bundle.
func (s *Server) Taint() { s.tainted = s.active }

// Untaint is a tainted authority that every copy has forgotten.
func (s *Server) Untaint() { s.tainted = authority{} }

func (s *Server) expose(to Exposition, up bool) {
	to.Set(truth(up), "attestation_spire_server_up", "trust_domain", TrustDomain)
	if !up {
		return
	}
	for _, h := range s.fleet.Hosts() {
		exposeAgent(to, h.AgentID, h.svid.Until, h.Banned)
	}
	if !s.Guest.IsZero() {
		exposeAgent(to, GuestAgent, s.Guest, false)
	}
	to.Set(svidLife.Seconds(), "attestation_spire_server_agent_svid_lifetime_seconds", "trust_domain", TrustDomain)
	to.Set(float64(len(s.fleet.Hosts())), "attestation_spire_server_agents", "trust_domain", TrustDomain, "attestation_type", "keylime")
	if s.Unwanted > 0 {
		to.Set(float64(s.Unwanted), "attestation_spire_server_agents", "trust_domain", TrustDomain, "attestation_type", "join_token")
	}
	to.Set(0, "attestation_spire_server_agents_expired", "trust_domain", TrustDomain, "attestation_type", "keylime")
	to.Set(12, "attestation_spire_server_entries", "trust_domain", TrustDomain)
	for _, kind := range []string{"x509", "jwt"} {
		to.Set(authorityLife.Seconds(), "attestation_spire_server_authority_lifetime_seconds", "trust_domain", TrustDomain, "type", kind)
		to.Set(unix(s.active.until), "attestation_spire_server_authority_not_after_timestamp_seconds", "trust_domain", TrustDomain, "type", kind, "state", "active")
		if s.prepared != nil {
			to.Set(unix(s.prepared.until), "attestation_spire_server_authority_not_after_timestamp_seconds", "trust_domain", TrustDomain, "type", kind, "state", "prepared")
		}
		if n := len(s.old); n > 0 {
			to.Set(unix(s.old[n-1].until), "attestation_spire_server_authority_not_after_timestamp_seconds", "trust_domain", TrustDomain, "type", kind, "state", "old")
		}
	}
}

func exposeAgent(to Exposition, keylimeAgent string, until time.Time, banned bool) {
	id := agentID(keylimeAgent)
	to.Set(1, "attestation_spire_server_agent_info", "spiffe_id", id, "trust_domain", TrustDomain, "attestation_type", "keylime", "keylime_agent", keylimeAgent)
	to.Set(unix(until), "attestation_spire_server_agent_svid_not_after_timestamp_seconds", "spiffe_id", id)
	to.Set(truth(banned), "attestation_spire_server_agent_banned", "spiffe_id", id)
	to.Set(1, "attestation_spire_server_agent_can_reattest", "spiffe_id", id)
}

// A Bundle is a copy of the trust bundle.
type Bundle struct {
	Name string
	// Unreadable is a file that holds no bundle.
	Unreadable bool

	copied   []authority
	modified time.Time
}

func (b *Bundle) refresh(s *Server, now time.Time) {
	if s.fleet.Spire != nil && !s.serving(now) {
		return
	}
	b.copied, b.modified = s.live(), now
}

// ends is when the last authority of the copy does.
func (b *Bundle) ends() authority {
	return slices.MaxFunc(b.copied, func(x, y authority) int { return x.until.Compare(y.until) })
}

// Line is when less than a share of the last authority's life is left.
func (b *Bundle) Line(share float64) time.Time {
	last := b.ends()
	return last.until.Add(-time.Duration(share * float64(last.until.Sub(last.from))))
}

// Lacking is when the server prepares, or prepared, the first authority that the
// copy lacks.
func (b *Bundle) Lacking(s *Server) time.Time {
	for _, a := range s.live() {
		if !slices.Contains(b.copied, a) {
			return a.from.Add(backdated)
		}
	}
	return time.Time{}
}

// Ends is when the copy holds no valid authority any more.
func (b *Bundle) Ends() time.Time { return b.ends().until }

func (b *Bundle) expose(s *Server, to Exposition, now time.Time) {
	if b.Unreadable {
		to.Set(1, "attestation_trust_bundle_load_failed", "bundle", b.Name, "reason", "malformed")
		return
	}
	pairs := []string{"bundle", b.Name, "trust_domain", TrustDomain}
	count := map[string]int{}
	var first time.Time
	for _, a := range b.copied {
		switch {
		case now.After(a.until):
			count["expired"]++
		case now.Before(a.from):
			count["not_yet_valid"]++
		default:
			count["valid"]++
			if first.IsZero() || a.until.Before(first) {
				first = a.until
			}
		}
	}
	for _, state := range []string{"valid", "expired", "not_yet_valid", "malformed"} {
		to.Set(float64(count[state]), "attestation_trust_bundle_authorities", append(slices.Clone(pairs), "state", state)...)
	}
	if !first.IsZero() {
		to.Set(unix(first), "attestation_trust_bundle_first_expiry_timestamp_seconds", pairs...)
	}
	last := b.ends()
	to.Set(unix(last.until), "attestation_trust_bundle_last_expiry_timestamp_seconds", pairs...)
	to.Set(last.until.Sub(last.from).Seconds(), "attestation_trust_bundle_last_lifetime_seconds", pairs...)
	missing := 0
	for _, a := range s.live() {
		if !slices.Contains(b.copied, a) {
			missing++
		}
	}
	to.Set(float64(missing), "attestation_trust_bundle_missing_authorities", pairs...)
	to.Set(truth(slices.Contains(b.copied, s.tainted)), "attestation_trust_bundle_tainted_authorities", pairs...)
	to.Set(unix(b.modified), "attestation_trust_bundle_modified_timestamp_seconds", "bundle", b.Name)
}
