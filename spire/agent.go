package spire

import (
	"context"
	"crypto/x509"
	"errors"
	"io/fs"
	"path/filepath"
	"time"

	"funlab.casa/attestation_exporter/certs"
	"funlab.casa/attestation_exporter/duty"
	"funlab.casa/attestation_exporter/failure"
	"funlab.casa/attestation_exporter/finding"
	"funlab.casa/attestation_exporter/regular"
	agentapi "funlab.casa/attestation_exporter/spire/proto/agent"
)

// AgentOptions says where this host's agent is, and what may be asked of it.
type AgentOptions struct {
	// Place is where to look; what the user leaves empty is found.
	Place Place
	// AdminSocket is the socket of the debug API; empty: as agent.conf says.
	AdminSocket string
	// User is whose process listens on the sockets, by name or number; empty:
	// the data directory's owner. Root always may.
	User string
	// WorkloadAPI allows one FetchX509Bundles a reading.
	WorkloadAPI bool
}

// An Agent reads the SPIRE agent of this host. It is safe for concurrent use.
type Agent struct {
	options  AgentOptions
	finder   finder
	data     regular.Memory[agentData]
	seen     sighting
	workload workloadAPI
	// public and admin are lines to its two sockets.
	public, admin line
	// bundles shares one FetchX509Bundles among those who ask at the same time.
	bundles *duty.Limit[fetched]
}

// NewAgent makes an Agent.
func NewAgent(options AgentOptions) *Agent {
	a := &Agent{
		options: options,
		finder:  finder{given: options.Place, standard: defaultAgent(), owner: options.User},
	}
	a.bundles = duty.New(workloadTimeout, a.fetchBundles)
	return a
}

// An AgentReading is what an agent and its files say at one moment.
type AgentReading struct {
	// Up is whether the health service on the Workload API's socket says SERVING.
	Up bool
	// Identity is the agent's own; nil where neither source of it may be read.
	Identity *Identity
	// SVID is the agent's own certificate; nil as above and after a ban. It has no
	// NotBefore where only the debug API told of it.
	SVID *certs.Certificate
	// SyncVisible is whether the debug API answered, and LastSync when the agent
	// last heard from its server.
	SyncVisible bool
	LastSync    time.Time
	// WorkloadAPI is how long FetchX509Bundles took; 0 where it isn't asked.
	WorkloadAPI time.Duration
}

// Read reads the agent once. The error joins what failed; what was read is in the
// reading all the same.
//
// What the user named must be readable. What was only found, and is closed to this
// process, is left out: the SPIRE server's view of the agent remains.
func (a *Agent) Read(ctx context.Context) (AgentReading, error) {
	site, err := a.finder.find()
	if err != nil {
		return AgentReading{}, err
	}
	var reading AgentReading
	dataErr := a.readData(site, &reading)
	healthErr := a.readHealth(ctx, site)
	reading.Up = healthErr == nil
	if !reading.Up {
		return reading, errors.Join(healthErr, dataErr, site.configErr)
	}
	infoErr := a.readInfo(ctx, site, &reading)
	var workloadErr error
	if a.options.WorkloadAPI {
		var answer fetched
		answer, workloadErr = a.bundles.Read(ctx)
		reading.WorkloadAPI = answer.took
	}
	return reading, errors.Join(dataErr, infoErr, workloadErr, site.configErr)
}

func (a *Agent) readHealth(ctx context.Context, site site) error {
	conn, err := a.public.connect(ctx, site.socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	return serving(ctx, conn)
}

// readData takes the agent's certificate from its data directory. This comes before
// the debug API, which tells no start of validity and goes silent when the SVID has
// expired.
func (a *Agent) readData(site site, reading *AgentReading) error {
	data, _, err := a.loadData(site)
	if len(data.chain) == 0 {
		return err
	}
	facts := certs.FactsOf(data.chain[0])
	reading.SVID = &facts
	identity, idErr := identityOf(data.chain[0])
	if idErr == nil {
		reading.Identity = &identity
	}
	return errors.Join(err, idErr)
}

// loadData reads agent-data.json, and returns when it was written, too. No such file is an agent that was never attested,
// or a data directory that isn't known: nothing, and no error.
func (a *Agent) loadData(site site) (agentData, time.Time, error) {
	if site.dataDir == "" {
		return agentData{}, time.Time{}, nil
	}
	data, modified, err := a.data.Load(filepath.Join(site.dataDir, agentDataFile), maxAgentData, parseAgentData)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) && len(a.options.Place.DataDirs) == 0 {
		return agentData{}, time.Time{}, nil
	}
	return data, modified, err
}

// readInfo asks the debug API, where it is switched on.
func (a *Agent) readInfo(ctx context.Context, site site, reading *AgentReading) error {
	path, _, err := a.adminSocket(site)
	if err != nil || path == "" {
		return err
	}
	conn, err := a.admin.connect(ctx, socket{path: path, owners: site.socket.owners})
	if errors.Is(err, fs.ErrPermission) && a.options.AdminSocket == "" {
		return nil
	}
	if err != nil {
		return err
	}
	defer conn.Close()
	info, err := agentapi.NewDebugClient(conn).GetInfo(ctx, &agentapi.GetInfoRequest{})
	if err != nil {
		// The agent verifies its own SVID first: after its end there is no answer.
		return conn.callError("ask the agent's debug API", err)
	}
	reading.SyncVisible = true
	reading.LastSync = unixTime(info.GetLastSyncSuccess())
	if chain := info.GetSvidChain(); reading.SVID == nil && len(chain) > 0 {
		return a.takeChain(chain, reading)
	}
	return nil
}

// adminSocket returns the socket of the debug API and who named it. It is empty where
// the API is off.
func (a *Agent) adminSocket(site site) (path, from string, err error) {
	switch path = site.config.AdminSocket; {
	case a.options.AdminSocket != "":
		return a.options.AdminSocket, finding.Flag, nil
	case path == "":
		return "", "", nil
	}
	if err := follow("admin_socket_path", path); err != nil {
		return "", "", err
	}
	return path, site.configPath, nil
}

// takeChain takes the agent's certificate from the debug API's summary of it.
func (a *Agent) takeChain(chain []*agentapi.GetInfoResponse_Cert, reading *AgentReading) error {
	reading.SVID = &certs.Certificate{
		NotAfter: unixTime(chain[0].GetExpiresAt()),
		Subject:  chain[0].GetSubject(),
	}
	a.seen.date(reading.SVID, time.Now())
	if len(chain) > 1 {
		reading.SVID.Issuer = chain[1].GetSubject()
	}
	identity, err := parseIdentity(joinID(chain[0].GetId()))
	if err != nil {
		return err
	}
	reading.Identity = &identity
	return nil
}

// fetchBundles asks the Workload API.
func (a *Agent) fetchBundles(ctx context.Context) (fetched, error) {
	site, err := a.finder.find()
	if err != nil {
		return fetched{}, err
	}
	return a.workload.fetch(ctx, &a.public, site.socket)
}

func identityOf(leaf *x509.Certificate) (Identity, error) {
	if len(leaf.URIs) != 1 {
		return Identity{}, failure.Errorf(failure.Malformed, "%d URIs in the agent's certificate, an SVID has one", len(leaf.URIs))
	}
	return parseIdentity(leaf.URIs[0].String())
}

// lastMoment is the last one that a certificate can name (RFC 5280, section
// 4.1.2.5).
const lastMoment = 253402300799 // 9999-12-31T23:59:59Z

// unixTime is the moment of an API's Unix seconds, where 0 means never. What no
// certificate can name is cut off: later code may rely on a year of four digits.
func unixTime(seconds int64) time.Time {
	if seconds == 0 {
		return time.Time{}
	}
	return time.Unix(min(max(seconds, 1), lastMoment), 0).UTC()
}
