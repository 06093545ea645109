package spire

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	serverapi "funlab.casa/attestation_exporter/spire/proto/server"
)

// A Server is a stand-in of a SPIRE server with a Domain and the agents that it is
// told of. It is safe for concurrent use.
type Server struct {
	*Socket
	domain *Domain

	mu      sync.Mutex
	agents  map[string]*serverapi.Agent // by path
	paths   []string                    // sorted; nil after a change
	entries int32
}

// NewServer starts a Server whose admin socket is at path.
func NewServer(path string, domain *Domain) (*Server, error) {
	s := &Server{domain: domain, agents: map[string]*serverapi.Agent{}}
	socket, err := listen(path, s.register)
	s.Socket = socket
	return s, err
}

func (s *Server) register(r grpc.ServiceRegistrar) {
	grpc_health_v1.RegisterHealthServer(r, health.NewServer())
	serverapi.RegisterAgentServer(r, agentService{server: s})
	serverapi.RegisterEntryServer(r, entryService{server: s})
	serverapi.RegisterBundleServer(r, bundleService{server: s})
	serverapi.RegisterLocalAuthorityServer(r, localAuthorityService{server: s})
	serverapi.RegisterDebugServer(r, debugService{server: s})
}

// SetAgent lets the server know an agent by that path, as if it had attested.
func (s *Server) SetAgent(path, attestationType string, notAfter time.Time, canReattest bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.paths = nil
	s.agents[path] = &serverapi.Agent{
		Id:                &serverapi.SPIFFEID{TrustDomain: s.domain.Name, Path: path},
		AttestationType:   attestationType,
		X509SvidExpiresAt: notAfter.Unix(),
		CanReattest:       canReattest,
	}
}

// Ban bans the agent. Its end stays, as in SPIRE.
func (s *Server) Ban(path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if agent := s.agents[path]; agent != nil {
		agent.Banned = true
	}
}

// Evict forgets the agent.
func (s *Server) Evict(path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.paths = nil
	delete(s.agents, path)
}

// Agents returns what the server knows of its agents.
func (s *Server) Agents() []*serverapi.Agent {
	s.mu.Lock()
	defer s.mu.Unlock()
	var agents []*serverapi.Agent
	for _, path := range slices.Sorted(maps.Keys(s.agents)) {
		agents = append(agents, s.agents[path])
	}
	return agents
}

// SetEntries sets the number of registration entries.
func (s *Server) SetEntries(n int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.entries = n
}

type agentService struct {
	serverapi.UnimplementedAgentServer
	server *Server
}

// ListAgents pages as SPIRE does: after the last full page comes an empty one.
func (a agentService) ListAgents(_ context.Context, request *serverapi.ListAgentsRequest) (*serverapi.ListAgentsResponse, error) {
	s := a.server
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.paths == nil {
		s.paths = slices.Sorted(maps.Keys(s.agents))
	}
	paths, begin := s.paths, 0
	if token := request.GetPageToken(); token != "" {
		var err error
		if begin, err = strconv.Atoi(token); err != nil || begin < 0 || begin > len(paths) {
			return nil, status.Errorf(codes.Internal, "failed to list agents: could not parse token '%s'", token)
		}
	}
	end := len(paths)
	response := &serverapi.ListAgentsResponse{}
	if size := int(request.GetPageSize()); size > 0 {
		end = min(begin+size, end)
		if begin < end {
			response.NextPageToken = strconv.Itoa(end)
		}
	}
	for _, path := range paths[begin:end] {
		response.Agents = append(response.Agents, s.agents[path])
	}
	return response, nil
}

type entryService struct {
	serverapi.UnimplementedEntryServer
	server *Server
}

func (e entryService) CountEntries(context.Context, *serverapi.CountEntriesRequest) (*serverapi.CountEntriesResponse, error) {
	e.server.mu.Lock()
	defer e.server.mu.Unlock()
	return &serverapi.CountEntriesResponse{Count: e.server.entries}, nil
}

type bundleService struct {
	serverapi.UnimplementedBundleServer
	server *Server
}

func (b bundleService) GetBundle(context.Context, *serverapi.GetBundleRequest) (*serverapi.Bundle, error) {
	return b.server.domain.Bundle(), nil
}

type localAuthorityService struct {
	serverapi.UnimplementedLocalAuthorityServer
	server *Server
}

func (l localAuthorityService) GetX509AuthorityState(context.Context, *serverapi.GetX509AuthorityStateRequest) (*serverapi.GetX509AuthorityStateResponse, error) {
	active, prepared, old := l.server.domain.states()
	return &serverapi.GetX509AuthorityStateResponse{Active: active, Prepared: prepared, Old: old}, nil
}

func (l localAuthorityService) GetJWTAuthorityState(context.Context, *serverapi.GetJWTAuthorityStateRequest) (*serverapi.GetJWTAuthorityStateResponse, error) {
	active, prepared, old := l.server.domain.states()
	return &serverapi.GetJWTAuthorityStateResponse{Active: active, Prepared: prepared, Old: old}, nil
}

type debugService struct {
	serverapi.UnimplementedDebugServer
	server *Server
}

// GetInfo shows an SVID that is always fresh: the server renews its own in good
// time as long as it runs.
func (d debugService) GetInfo(context.Context, *serverapi.GetInfoRequest) (*serverapi.GetInfoResponse, error) {
	domain := d.server.domain
	active, _, _ := domain.states()
	end := min(domain.Now().Add(time.Hour).Unix(), active.GetExpiresAt())
	return &serverapi.GetInfoResponse{SvidChain: []*serverapi.GetInfoResponse_Cert{
		{Id: &serverapi.SPIFFEID{TrustDomain: domain.Name, Path: "/spire/server"}, ExpiresAt: end, Subject: "O=SPIRE,C=US"},
		{Id: &serverapi.SPIFFEID{TrustDomain: domain.Name}, ExpiresAt: active.GetExpiresAt(), Subject: "O=SPIRE,C=US"},
	}}, nil
}
