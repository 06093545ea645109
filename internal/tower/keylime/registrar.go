package keylime

import (
	"context"
	"crypto/tls"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// RegistrarOptions says what a registrar is.
type RegistrarOptions struct {
	Address string // host:port of the TLS port
	TLS     *tls.Config
}

// A Registrar is a stand-in for a registrar's TLS port.
type Registrar struct {
	*Server

	mu     sync.Mutex
	agents map[string]bool // whether activated
}

// StartRegistrar starts a registrar that stops when ctx ends.
func StartRegistrar(ctx context.Context, options RegistrarOptions) (*Registrar, error) {
	r := &Registrar{agents: map[string]bool{}}
	server, err := listen(ctx, options.Address, options.TLS, http.HandlerFunc(r.route))
	if err != nil {
		return nil, fmt.Errorf("start the registrar: %w", err)
	}
	r.Server = server
	return r, nil
}

// Register registers an agent, activated or not.
func (r *Registrar) Register(id string, activated bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.agents[id] = activated
}

// Remove deletes an agent.
func (r *Registrar) Remove(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.agents, id)
}

func (r *Registrar) route(w http.ResponseWriter, request *http.Request) {
	if !wellFormed(w, request) {
		return
	}
	versions := []string{"1.0", "2.0", "2.1", "2.2", "2.3", "2.4", "2.5", "2.6", "3.0"}
	if request.URL.Path == "/version" {
		indented(w, http.StatusOK, "Success", offer(versions))
		return
	}
	version, rest, found := strings.Cut(strings.TrimPrefix(request.URL.Path, "/v"), "/")
	id, isAgents := strings.CutPrefix(rest, "agents/")
	if !found || !isAgents || !strings.HasPrefix(version, "2.") || !slices.Contains(versions, version) {
		answer(w, http.StatusNotFound, "text/html; charset=UTF-8", "")
		return
	}
	if id == "" {
		r.list(w, request)
		return
	}
	r.single(w, request, id)
}

func (r *Registrar) list(w http.ResponseWriter, request *http.Request) {
	if !admitted(w, request, "list_registrations") {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	ids := slices.Sorted(maps.Keys(r.agents))
	if ids == nil {
		ids = []string{}
	}
	indented(w, http.StatusOK, "Success", map[string][]string{"uuids": ids})
}

func (r *Registrar) single(w http.ResponseWriter, request *http.Request, id string) {
	if !admitted(w, request, "read_registration") {
		return
	}
	r.mu.Lock()
	activated, registered := r.agents[id]
	r.mu.Unlock()
	switch {
	case !registered:
		indented(w, http.StatusNotFound, fmt.Sprintf("Agent with ID '%s' not found", id), nothing{})
	case !activated:
		indented(w, http.StatusNotFound, fmt.Sprintf("Agent with ID '%s' has not been activated", id), nothing{})
	default:
		indented(w, http.StatusOK, "Success", map[string]any{
			"agent_id": id, "ek_tpm": "", "ekcert": nil, "aik_tpm": "", "ip": "127.0.0.1", "port": 9002, "mtls_cert": "", "regcount": 1,
		})
	}
}
