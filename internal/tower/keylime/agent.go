package keylime

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
)

// AgentOptions says what a host's own agent is.
type AgentOptions struct {
	Address string // host:port to listen on
	// TLS holds its certificate, and requires one of clients before any answer.
	TLS *tls.Config
	ID  string
}

// A LocalAgent is a stand-in for a pull-mode agent as its own host sees it. It
// quotes nothing.
type LocalAgent struct {
	*Server
}

// StartAgent starts an agent that stops when ctx ends.
func StartAgent(ctx context.Context, options AgentOptions) (*LocalAgent, error) {
	routes := http.NewServeMux()
	routes.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) {
		versions := []string{"2.1", "2.2", "2.3", "2.4", "2.5", "2.6"}
		enveloped(w, http.StatusOK, "Success", struct {
			Supported string   `json:"supported_version"`
			Versions  []string `json:"supported_versions"`
		}{versions[len(versions)-1], versions})
	})
	routes.HandleFunc("GET /v2.6/agent/info", func(w http.ResponseWriter, _ *http.Request) {
		enveloped(w, http.StatusOK, "Success", struct {
			UUID     string `json:"agent_uuid"`
			HashAlg  string `json:"tpm_hash_alg"`
			EncAlg   string `json:"tpm_enc_alg"`
			SignAlg  string `json:"tpm_sign_alg"`
			AKHandle uint32 `json:"ak_handle"`
		}{options.ID, "sha256", "rsa2048", "rsassa", 0x81010002})
	})
	server, err := listen(ctx, options.Address, options.TLS, routes)
	if err != nil {
		return nil, fmt.Errorf("start the agent: %w", err)
	}
	return &LocalAgent{Server: server}, nil
}
