package keylime

import (
	"cmp"
	"time"
)

// A Conduct is how an agent behaves towards the verifier.
type Conduct string

// The ways to behave.
const (
	Attests     Conduct = "attests"      // good quotes: state 1 for an instant, 5 for one interval, then 3
	BadQuote    Conduct = "bad-quote"    // quotes that the policy refuses: state 9
	Gone        Conduct = "gone"         // refuses connections: state 3 and PASS while it is retried, then 7
	Hanging     Conduct = "hanging"      // takes connections and never answers: the same, for longer
	Forgotten   Conduct = "forgotten"    // nobody polls it any more: state 3 and PASS for ever
	Stopped     Conduct = "stopped"      // stopped on request: state 10
	NeverPolled Conduct = "never-polled" // a push-mode agent that hasn't come yet
	Pushing     Conduct = "pushing"      // a push-mode agent that attests
	PushFailing Conduct = "push-failing" // a push-mode agent that was refused
)

// The times after which the verifier gives up, with its default settings: five
// retries after 2, 4, 8, 16 and 32 s, and the same with 60 s of waiting each.
const (
	GiveUpGone    = 63 * time.Second
	GiveUpHanging = 485 * time.Second
)

// An Agent is one agent of a verifier.
type Agent struct {
	ID   string
	IP   string
	Port int
	// Added is when it was added, Since when it took up its Conduct. An agent that
	// never attested has both at the same moment.
	Added, Since time.Time
	Conduct      Conduct
	// Event is why a BadQuote is refused; empty is PCR 4.
	Event string
	// V is the secret that the verifier hands out to every reader.
	V string
}

// A picture is what a verifier says of an agent at one moment.
type picture struct {
	state   *int
	status  string
	count   int
	success time.Time // zero for never
	quote   time.Time
	event   string // empty for null
}

// at draws the picture of the agent at one moment, with quotes every interval.
func (a Agent) at(now time.Time, interval time.Duration, giveUp scale) picture {
	good := now
	if a.Conduct != Attests && a.Conduct != Pushing {
		good = a.Since
	}
	p := picture{state: number(3), status: "PASS"}
	if good.After(a.Added) {
		p.count = 1 + int(good.Sub(a.Added)/interval)
		p.success = a.Added.Add(time.Duration(p.count-1) * interval)
		p.quote = p.success
	}
	failing := now.Sub(a.Since)
	switch a.Conduct {
	case Attests:
		switch age := now.Sub(a.Added); {
		case age <= 0:
			p.state, p.status = number(1), "PENDING"
		case age < interval:
			p.state = number(5)
		}
	case BadQuote:
		p.state, p.status, p.event = number(9), "FAIL", cmp.Or(a.Event, "pcr_validation.invalid_pcr_4")
		p.quote = a.Since
	case Gone:
		p.giveUp(failing, giveUp.of(GiveUpGone))
	case Hanging:
		p.giveUp(failing, GiveUpHanging)
	case Forgotten, Pushing:
	case Stopped:
		p.state, p.status = number(10), "FAIL"
	case NeverPolled:
		p = picture{status: "PENDING"}
	case PushFailing:
		p.status, p.event = "FAIL", "pcr_validation.invalid_pcr_4"
	}
	return p
}

func (p *picture) giveUp(failing, after time.Duration) {
	if failing >= after {
		p.state, p.status, p.event = number(7), "FAIL", "internal.verifier.not_reachable"
	}
}

// pushes reports whether the agent has no address that the verifier could poll.
func (a Agent) pushes() bool {
	return a.Conduct == NeverPolled || a.Conduct == Pushing || a.Conduct == PushFailing
}

// A scale shortens the verifier's patience, for a demonstration that can't wait.
type scale float64

func (s scale) of(d time.Duration) time.Duration {
	if s <= 0 {
		return d
	}
	return time.Duration(float64(d) / float64(s))
}

func number(n int) *int { return &n }
