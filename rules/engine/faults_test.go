package engine_test

import (
	"cmp"
	"slices"
	"time"

	"funlab.casa/attestation_exporter/rules/engine/fleet"
)

// A fault is put into one host, and taken out again.
type fault struct {
	name   string
	breaks func(*simulation, *fleet.Host)
	mends  func(*simulation, *fleet.Host)
	// Lasts is how long it stays, and settles how long its alerts may stay after.
	lasts, settles time.Duration
	// Stays is an event, which is shown for a day whatever is done, so that a second
	// one of the same host within the day tells nothing new.
	stays bool
	// On says which hosts it can be on; none is any but that of the servers.
	on func(*fleet.Fleet) *fleet.Host
	// Ready says when it can be put in; none is at any time.
	ready func(*simulation, *fleet.Host) bool
	// Standby needs a second SPIRE server.
	standby bool
	pages   []page
	// Hidden are alerts that fire, too, and of which nobody hears.
	hidden []string
}

// A page is one notification that must arrive.
type page struct {
	alert string
	// Host is whose alert it is; none is the faulty host's.
	host string
	// Since is when the symptom began; none is when the fault did. It is asked at
	// every minute until it is there.
	since func(*simulation, *fleet.Host) time.Time
}

// faults are all of the contract's table, and what else the fleet can show.
func faults() []fault {
	return slices.Concat(hostFaults(), keylimeFaults(), spireFaults(), renewalFaults())
}

func (f fault) expects(alert string) bool {
	return slices.ContainsFunc(f.pages, func(p page) bool { return p.alert == alert })
}

func (p page) begins(s *simulation, host *fleet.Host) time.Time {
	if p.since == nil {
		return s.begun
	}
	return p.since(s, host)
}

func (p page) whose(host *fleet.Host) string { return cmp.Or(p.host, host.Name) }

func theServers(f *fleet.Fleet) *fleet.Host { return f.Spire }

func (s *simulation) someHost(f fault) *fleet.Host {
	if f.on != nil {
		return f.on(s.fleet)
	}
	return []*fleet.Host{s.fleet.Auth, s.fleet.CA}[s.random.IntN(2)]
}

// after is a moment that isn't before the fault, or none.
func (s *simulation) after(at time.Time) time.Time {
	if at.Before(s.begun) {
		return time.Time{}
	}
	return at
}
