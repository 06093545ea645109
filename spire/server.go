package spire

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"funlab.casa/attestation_exporter/certs"
	"funlab.casa/attestation_exporter/duty"
	serverapi "funlab.casa/attestation_exporter/spire/proto/server"
)

// SPIRE's lifetimes where server.conf names none (SPIRE Server Configuration
// Reference, ca_ttl and default_x509_svid_ttl). JWT authorities have ca_ttl too.
const (
	defaultAuthorityTTL = 24 * time.Hour
	defaultAgentTTL     = time.Hour
)

// bulkTimeout bounds the costly part of a reading: ten times what 10,000 agents
// take on a slow machine.
const bulkTimeout = 10 * time.Second

// ServerOptions says where this host's server is.
type ServerOptions struct {
	// Place is where to look; what the user leaves empty is found.
	Place Place
	// User is whose process listens on the socket, by name or number; empty: the
	// data directory's owner. Root always may.
	User string
}

// A Server reads the SPIRE server of this host by its admin socket. Whoever may use
// that socket may also ban agents and make join tokens, so the calls below are the
// only ones that this package can make. It is safe for concurrent use.
type Server struct {
	finder finder
	bulk   *duty.Limit[ServerReading]
	now    func() time.Time // judges which agents have expired
	seen   sighting
	line   line

	mu          sync.Mutex
	trustDomain string // what the server last called itself
}

// NewServer makes a Server.
func NewServer(options ServerOptions) *Server {
	s := &Server{
		finder: finder{given: options.Place, standard: defaultServer(), owner: options.User},
		now:    time.Now,
	}
	s.bulk = duty.New(bulkTimeout, s.readBulk)
	return s
}

// A ServerReading is what a server says at one moment.
type ServerReading struct {
	// Up is whether the health service says SERVING.
	Up          bool
	TrustDomain string
	// Agents are those whose SVID hasn't ended more than a week ago.
	Agents []ServerAgent
	// Counts are of all agents, by attestation type.
	Counts []AgentCount
	// Entries is the number of registration entries; nil where it wasn't read.
	Entries *int
	// Authorities are the server's own, not those of an authority above it.
	Authorities []Authority
	// Bundle is the trust domain's, with what is tainted in it.
	Bundle certs.LiveBundle
	// TaintedJWT is how many JWT authorities of the bundle are tainted.
	TaintedJWT int
	// SVID is the server's own certificate. Its NotBefore isn't told.
	SVID   *certs.Certificate
	SVIDID string
	// AgentLifetime and AuthorityLifetime are how long agents' SVIDs and the
	// server's authorities live from their issue to their end.
	AgentLifetime     time.Duration
	AuthorityLifetime time.Duration
}

// An Authority is a key with which the server signs, did, or is going to.
type Authority struct {
	Type     string // x509 or jwt
	State    string // active, prepared or old
	NotAfter time.Time
}

// Read reads the server. Whether it is up is asked each time; all the rest costs
// the server a walk over its datastore and is rationed by package duty.
func (s *Server) Read(ctx context.Context) (ServerReading, error) {
	site, err := s.finder.find()
	if err != nil {
		return ServerReading{}, err
	}
	if err := s.health(ctx, site); err != nil {
		return ServerReading{TrustDomain: s.nameOf(site)}, errors.Join(err, site.configErr)
	}
	reading, err := s.bulk.Read(ctx)
	reading.Up = true
	reading.TrustDomain = s.nameOf(site)
	return reading, errors.Join(err, site.configErr)
}

// Live returns the server's bundle, as the live side for copies of it.
func (s *Server) Live(ctx context.Context) ([]certs.LiveBundle, error) {
	if _, err := s.finder.find(); err != nil {
		return nil, err
	}
	reading, err := s.bulk.Read(ctx)
	if reading.Bundle.TrustDomain == "" {
		return nil, err
	}
	return []certs.LiveBundle{reading.Bundle}, nil
}

func (s *Server) health(ctx context.Context, site site) error {
	conn, err := s.line.connect(ctx, site.socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	return serving(ctx, conn)
}

// nameOf returns the trust domain: a server that is down can't tell, its
// configuration or an earlier answer can.
func (s *Server) nameOf(site site) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return cmp.Or(s.trustDomain, site.config.TrustDomain)
}

func (s *Server) readBulk(ctx context.Context) (ServerReading, error) {
	site, err := s.finder.find()
	if err != nil {
		return ServerReading{}, err
	}
	conn, err := s.line.connect(ctx, site.socket)
	if err != nil {
		return ServerReading{}, err
	}
	defer conn.Close()
	reading := ServerReading{
		AgentLifetime:     cmp.Or(site.config.AgentTTL, defaultAgentTTL),
		AuthorityLifetime: cmp.Or(site.config.AuthorityTTL, defaultAuthorityTTL),
	}
	var errs []error
	for _, part := range []func(context.Context, *connection, *ServerReading) error{
		readBundle, readAuthorities, s.readSVID, readEntries, s.readAgents,
	} {
		errs = append(errs, part(ctx, conn, &reading))
	}
	if name := reading.Bundle.TrustDomain; name != "" {
		s.mu.Lock()
		s.trustDomain = name
		s.mu.Unlock()
	}
	return reading, errors.Join(errs...)
}

func readBundle(ctx context.Context, conn *connection, reading *ServerReading) error {
	bundle, err := serverapi.NewBundleClient(conn).GetBundle(ctx, &serverapi.GetBundleRequest{
		OutputMask: &serverapi.BundleMask{X509Authorities: true, JwtAuthorities: true},
	})
	if err != nil {
		return conn.callError("get bundle", err)
	}
	reading.Bundle, err = liveBundle(bundle)
	for _, key := range bundle.GetJwtAuthorities() {
		if key.GetTainted() {
			reading.TaintedJWT++
		}
	}
	return err
}

func readAuthorities(ctx context.Context, conn *connection, reading *ServerReading) error {
	client := serverapi.NewLocalAuthorityClient(conn)
	x509, x509Err := client.GetX509AuthorityState(ctx, &serverapi.GetX509AuthorityStateRequest{})
	if x509Err != nil {
		x509Err = conn.callError("get X.509 authorities", x509Err)
	}
	jwt, jwtErr := client.GetJWTAuthorityState(ctx, &serverapi.GetJWTAuthorityStateRequest{})
	if jwtErr != nil {
		jwtErr = conn.callError("get JWT authorities", jwtErr)
	}
	reading.Authorities = append(authorities("x509", x509), authorities("jwt", jwt)...)
	return errors.Join(x509Err, jwtErr)
}

// authorities lists those states that an authority is in. The old one stays listed
// when it was revoked.
func authorities(kind string, states interface {
	GetActive() *serverapi.AuthorityState
	GetPrepared() *serverapi.AuthorityState
	GetOld() *serverapi.AuthorityState
}) []Authority {
	var list []Authority
	for _, one := range []struct {
		name  string
		state *serverapi.AuthorityState
	}{
		{"active", states.GetActive()}, {"prepared", states.GetPrepared()}, {"old", states.GetOld()},
	} {
		if one.state.GetExpiresAt() != 0 {
			list = append(list, Authority{Type: kind, State: one.name, NotAfter: unixTime(one.state.GetExpiresAt())})
		}
	}
	return list
}

func (s *Server) readSVID(ctx context.Context, conn *connection, reading *ServerReading) error {
	info, err := serverapi.NewDebugClient(conn).GetInfo(ctx, &serverapi.GetInfoRequest{})
	if err != nil {
		return conn.callError("ask the server's debug API", err)
	}
	chain := info.GetSvidChain()
	if len(chain) == 0 {
		return nil
	}
	identity, err := parseIdentity(joinID(chain[0].GetId()))
	if err != nil {
		return err
	}
	reading.SVIDID = identity.ID
	reading.SVID = &certs.Certificate{
		NotAfter: unixTime(chain[0].GetExpiresAt()),
		Subject:  chain[0].GetSubject(),
	}
	s.seen.date(reading.SVID, s.now())
	if len(chain) > 1 {
		reading.SVID.Issuer = chain[1].GetSubject()
	}
	return nil
}

func readEntries(ctx context.Context, conn *connection, reading *ServerReading) error {
	answer, err := serverapi.NewEntryClient(conn).CountEntries(ctx, &serverapi.CountEntriesRequest{})
	if err != nil {
		return conn.callError("count entries", err)
	}
	count := int(answer.GetCount())
	reading.Entries = &count
	return nil
}
