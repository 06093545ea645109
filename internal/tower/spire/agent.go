package spire

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/spiffe/go-spiffe/v2/proto/spiffe/workload"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	agentapi "funlab.casa/attestation_exporter/spire/proto/agent"
	serverapi "funlab.casa/attestation_exporter/spire/proto/server"
)

// An Agent is a stand-in of a SPIRE agent with its two sockets and its data
// directory. It is safe for concurrent use.
type Agent struct {
	Workload *Socket // DIR/agent.sock
	Admin    *Socket // DIR/admin/api.sock
	// Path is that of the agent's SPIFFE ID.
	Path string

	dir    string
	domain *Domain

	mu       sync.Mutex
	svid     *x509.Certificate
	lastSync time.Time // zero: it is in step all the time
	entry    bool
}

// NewAgent starts an Agent below dir with an SVID of that lifetime.
func NewAgent(dir string, domain *Domain, path string, lifetime time.Duration) (*Agent, error) {
	a := &Agent{Path: path, dir: dir, domain: domain}
	if err := os.MkdirAll(filepath.Join(dir, "admin"), 0o750); err != nil {
		return nil, fmt.Errorf("make the agent's directories: %w", err)
	}
	if err := a.Renew(lifetime); err != nil {
		return nil, err
	}
	var err error
	if a.Workload, err = listen(filepath.Join(dir, "agent.sock"), a.registerWorkload); err != nil {
		return nil, err
	}
	a.Admin, err = listen(filepath.Join(dir, "admin", "api.sock"), func(r grpc.ServiceRegistrar) {
		agentapi.RegisterDebugServer(r, agentDebug{agent: a})
	})
	if err != nil {
		a.Workload.Close()
		return nil, err
	}
	return a, nil
}

func (a *Agent) registerWorkload(r grpc.ServiceRegistrar) {
	grpc_health_v1.RegisterHealthServer(r, health.NewServer())
	workload.RegisterSpiffeWorkloadAPIServer(r, workloadService{agent: a})
}

// Close stops the agent and removes its sockets.
func (a *Agent) Close() {
	a.Workload.Close()
	a.Admin.Close()
}

// Renew gives the agent a new SVID and writes its data file.
func (a *Agent) Renew(lifetime time.Duration) error {
	svid, err := a.domain.Issue(a.Path, lifetime)
	if err != nil {
		return err
	}
	a.mu.Lock()
	a.svid = svid
	a.mu.Unlock()
	return a.WriteData()
}

// NotAfter is the end of the agent's SVID.
func (a *Agent) NotAfter() time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.svid.NotAfter
}

// LoseServer lets the agent's last sync stay at t; the zero time brings the server
// back.
func (a *Agent) LoseServer(t time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lastSync = t
}

// SetEntry says whether callers of the Workload API have an identity.
func (a *Agent) SetEntry(present bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.entry = present
}

// WriteData writes agent-data.json as SPIRE does: by rename, with PEM in base64.
func (a *Agent) WriteData() error {
	a.mu.Lock()
	svid := a.svid
	a.mu.Unlock()
	var data struct {
		SVID          []string `json:"svid"`
		Bundle        []string `json:"bundle"`
		Reattestable  bool     `json:"reattestable"`
		BootstrapTime string   `json:"bootstrap_start_time"`
	}
	data.SVID = []string{encode(svid.Raw)}
	for _, authority := range a.domain.Bundle().GetX509Authorities() {
		data.Bundle = append(data.Bundle, encode(authority.GetAsn1()))
	}
	data.Reattestable, data.BootstrapTime = true, "0001-01-01T00:00:00Z"
	text, err := json.Marshal(data)
	if err != nil {
		return fmt.Errorf("write agent data: %w", err)
	}
	path := filepath.Join(a.dir, "agent-data.json")
	if err := os.WriteFile(path+".tmp", text, 0o600); err != nil {
		return fmt.Errorf("write agent data: %w", err)
	}
	return os.Rename(path+".tmp", path)
}

func encode(der []byte) string {
	return base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

type agentDebug struct {
	agentapi.UnimplementedDebugServer
	agent *Agent
}

// GetInfo verifies the agent's own SVID first, as SPIRE's does.
func (d agentDebug) GetInfo(context.Context, *agentapi.GetInfoRequest) (*agentapi.GetInfoResponse, error) {
	a := d.agent
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.domain.Now()
	if now.After(a.svid.NotAfter) {
		return nil, status.Error(codes.Internal, "failed to verify agent SVID: x509svid: could not verify leaf certificate: x509: certificate has expired or is not yet valid")
	}
	last := now
	if !a.lastSync.IsZero() {
		last = a.lastSync
	}
	return &agentapi.GetInfoResponse{
		LastSyncSuccess: last.Unix(),
		SvidChain: []*agentapi.GetInfoResponse_Cert{{
			Id:        &serverapi.SPIFFEID{TrustDomain: a.domain.Name, Path: a.Path},
			ExpiresAt: a.svid.NotAfter.Unix(),
			Subject:   a.svid.Subject.String(),
		}},
	}, nil
}

type workloadService struct {
	workload.UnimplementedSpiffeWorkloadAPIServer
	agent *Agent
}

func (w workloadService) FetchX509Bundles(_ *workload.X509BundlesRequest, stream grpc.ServerStreamingServer[workload.X509BundlesResponse]) error {
	header, _ := metadata.FromIncomingContext(stream.Context())
	if len(header.Get("workload.spiffe.io")) == 0 {
		return status.Error(codes.InvalidArgument, "security header missing from request")
	}
	w.agent.mu.Lock()
	allowed := w.agent.entry
	w.agent.mu.Unlock()
	if !allowed {
		return status.Error(codes.PermissionDenied, "no identity issued")
	}
	domain := w.agent.domain
	answer := &workload.X509BundlesResponse{Bundles: map[string][]byte{"spiffe://" + domain.Name: domain.DER()}}
	if err := stream.Send(answer); err != nil {
		return err
	}
	<-stream.Context().Done() // The next message comes with the next change.
	return nil
}
