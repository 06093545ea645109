package spire

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"funlab.casa/attestation_exporter/failure"
	serverapi "funlab.casa/attestation_exporter/spire/proto/server"
)

const (
	// pageSize keeps a page below gRPC's usual 4 MiB even with IDs of the
	// greatest length.
	pageSize = 1000
	// maxAgents bounds a listing, and with it the memory that it takes: about 2 kB
	// an agent while it is read.
	maxAgents = 100_000
	// maxPages bounds a listing of small pages.
	maxPages = 1000
	// remembered is how long an agent stays in Agents after the end of its SVID.
	// SPIRE lists ended ones for ever unless told to prune, and every join token
	// leaves one.
	remembered = 7 * 24 * time.Hour
)

// A ServerAgent is an agent as its server sees it.
type ServerAgent struct {
	Identity
	// NotAfter is the end of the SVID that the agent last used: a renewed one
	// shows some time after its renewal. SPIRE keeps it for banned agents.
	NotAfter    time.Time
	Banned      bool
	CanReattest bool
}

// An AgentCount counts the agents of one attestation type.
type AgentCount struct {
	AttestationType string
	// Live agents are neither expired nor banned.
	Live int
	// Expired agents aren't banned, and their SVID has ended.
	Expired int
}

// readAgents lists all agents by page, with no more than is shown of each.
func (s *Server) readAgents(ctx context.Context, conn *connection, reading *ServerReading) error {
	client := serverapi.NewAgentClient(conn)
	request := &serverapi.ListAgentsRequest{
		PageSize: pageSize,
		OutputMask: &serverapi.AgentMask{
			AttestationType:   true,
			X509SvidExpiresAt: true,
			Banned:            true,
			CanReattest:       true,
		},
	}
	roll := newRoll(s.now())
	for range maxPages {
		page, err := client.ListAgents(ctx, request)
		if err != nil {
			return conn.callError("list agents", err)
		}
		for _, agent := range page.GetAgents() {
			roll.add(agent)
		}
		if len(roll.seen) > maxAgents {
			return failure.Errorf(failure.Malformed, "list agents: more than %d agents", maxAgents)
		}
		next := page.GetNextPageToken()
		if next == "" {
			reading.Agents, reading.Counts = roll.agents, roll.sorted()
			return roll.bad.error("agents")
		}
		if next == request.GetPageToken() {
			return failure.Errorf(failure.Malformed, "list agents: a page that leads to itself")
		}
		request.PageToken = next
	}
	return failure.Errorf(failure.Malformed, "list agents: more than %d pages", maxPages)
}

// maxType bounds the name of a way of attestation.
const maxType = 256

// A roll takes the agents as they come. Rows may change between two pages, so one
// that comes twice counts once.
type roll struct {
	at     time.Time
	seen   map[string]struct{}
	agents []ServerAgent
	counts map[string]AgentCount
	bad    rejects
}

func newRoll(at time.Time) *roll {
	return &roll{at: at, seen: map[string]struct{}{}, counts: map[string]AgentCount{}}
}

func (r *roll) add(row *serverapi.Agent) {
	id := joinID(row.GetId())
	if len(id) > maxID || len(row.GetAttestationType()) > maxType {
		r.bad.add(failure.Errorf(failure.Malformed, "an agent's SPIFFE ID has %d bytes and its type %d, at most %d and %d are allowed", len(id), len(row.GetAttestationType()), maxID, maxType))
		return
	}
	if _, twice := r.seen[id]; twice {
		return
	}
	r.seen[id] = struct{}{}
	identity, err := parseIdentity(id)
	if err != nil {
		r.bad.add(err)
		return
	}
	// The path is a convention that agent_path_template may change.
	identity.AttestationType = row.GetAttestationType()
	agent := ServerAgent{
		Identity:    identity,
		NotAfter:    unixTime(row.GetX509SvidExpiresAt()),
		Banned:      row.GetBanned(),
		CanReattest: row.GetCanReattest(),
	}
	r.count(agent)
	if r.at.Sub(agent.NotAfter) <= remembered {
		r.agents = append(r.agents, agent)
	}
}

func (r *roll) count(agent ServerAgent) {
	count := r.counts[agent.AttestationType]
	count.AttestationType = agent.AttestationType
	switch {
	case agent.Banned:
	case agent.NotAfter.Before(r.at):
		count.Expired++
	default:
		count.Live++
	}
	r.counts[agent.AttestationType] = count
}

func (r *roll) sorted() []AgentCount {
	return slices.SortedFunc(maps.Values(r.counts), func(a, b AgentCount) int {
		return cmp.Compare(a.AttestationType, b.AttestationType)
	})
}
