// Package fleet is a model of the reference deployment: three hosts whose
// certificates, timers, boots and attestation go on as they do when all is well,
// or with faults in them. It shows what their exporters would show. It knows
// nothing of rules, and of SPIRE and Keylime only what can be seen from outside.
package fleet

import (
	"fmt"
	"math/rand/v2"
	"time"
	_ "time/tzdata" // The fleet lives where clocks are put forward and back.
)

// TrustDomain is that of the fleet's one SPIRE server.
const TrustDomain = "funlab.casa"

// An Exposition takes the samples of one scrape: labels come in pairs.
type Exposition interface {
	Set(value float64, name string, pairs ...string)
}

// A Fleet is three hosts and what they run together.
type Fleet struct {
	// Spire runs the SPIRE server and Keylime's verifier and registrar; Auth and
	// CA are hosts with agents.
	Spire, Auth, CA *Host
	// Server and Verifier are those on Spire.
	Server   *Server
	Verifier *Verifier

	// OpenBao is scraped beside the exporter of its host.
	OpenBao *OpenBao

	more   []*Host
	random *rand.Rand
	zone   *time.Location
}

// New is a fleet that has been well for a long time at the moment of its start.
// The same seed gives the same fleet.
func New(seed uint64, start time.Time) (*Fleet, error) {
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		return nil, err
	}
	f := &Fleet{random: rand.New(rand.NewPCG(seed, 0)), zone: zone} //nolint:gosec // Nothing here is secret; the same seed must give the same year.
	f.Server = newServer(f, start)
	f.Verifier = &Verifier{fleet: f}
	f.Spire = newHost(f, "spire.funlab.casa", "11111111-0000-4000-8000-000000000001", start)
	f.Auth = newHost(f, "auth.funlab.casa", "11111111-0000-4000-8000-000000000002", start)
	f.CA = newHost(f, "ca.funlab.casa", "11111111-0000-4000-8000-000000000003", start)
	// Its exporter reads no agent's data, and SPIRE's debug API tells of no begin.
	f.CA.svid.undated = true
	f.OpenBao = &OpenBao{host: f.Spire}
	f.Spire.serve(start)
	f.CA.issue(start)
	return f, nil
}

// Hosts are the three, and those that Grow added.
func (f *Fleet) Hosts() []*Host { return append([]*Host{f.Spire, f.Auth, f.CA}, f.more...) }

// Grow adds hosts with agents until there are so many.
func (f *Fleet) Grow(hosts int, start time.Time) {
	for n := len(f.Hosts()); n < hosts; n++ {
		f.more = append(f.more, newHost(f, fmt.Sprintf("node-%05d.funlab.casa", n), fmt.Sprintf("22222222-0000-4000-8000-%012d", n), start))
	}
}

// Step lets the time go on until now. It is called at least once a minute.
func (f *Fleet) Step(now time.Time) {
	f.Server.step(now)
	for _, h := range f.Hosts() {
		h.step(now)
	}
	for _, h := range f.Hosts() {
		f.Verifier.ask(h, now)
	}
}

// between is a random time, evenly spread.
func (f *Fleet) between(least, most time.Duration) time.Duration {
	if most <= least {
		return least
	}
	return least + time.Duration(f.random.Int64N(int64(most-least)))
}

func truth(claim bool) float64 {
	if claim {
		return 1
	}
	return 0
}

func unix(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }
