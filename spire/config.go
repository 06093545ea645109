package spire

import (
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/hcl"
	"github.com/hashicorp/hcl/hcl/ast"
	"github.com/hashicorp/hcl/hcl/parser"

	"funlab.casa/attestation_exporter/failure"
)

// maxConfig bounds a configuration file.
const maxConfig = 1 << 20

// A Config holds the few settings of a server.conf or agent.conf that leave the
// parser. The file itself may hold join tokens and a database's password, so
// nothing else of it is kept, and no error quotes it.
type Config struct {
	TrustDomain string // empty where it is left to an environment variable
	DataDir     string
	// Socket is the Workload API's (agent) or the admin API's (server).
	Socket string
	// AdminSocket is the agent's for its debug API; empty where it is off.
	AdminSocket string
	// TrustBundle is the agent's file of the authorities that it trusts at its
	// first start.
	TrustBundle string
	// AgentTTL and AuthorityTTL are the server's lifetimes of agent SVIDs and of
	// its own authorities; 0 where the file names none.
	AgentTTL     time.Duration
	AuthorityTTL time.Duration
	// Endpoint is the server's bundle endpoint; empty where it has none.
	Endpoint BundleEndpoint
	Plugins  []Plugin
}

// A BundleEndpoint is where a server shows its bundle (SPIFFE Trust Domain and
// Bundle, section 5).
type BundleEndpoint struct {
	// Address is host:port, as the server binds it.
	Address string
	// Profile is https_web or https_spiffe.
	Profile string
}

// A Plugin is an external plugin of the configuration: a program that SPIRE starts.
type Plugin struct {
	// Name is "<type> <name>" as in the file, such as `NodeAttestor keylime`.
	Name string
	// Path is plugin_cmd, as written.
	Path string
	// Checksum is plugin_checksum, as written; empty where the plugin isn't
	// pinned.
	Checksum string
}

// document lists the keys that are read, and all others stay behind in the syntax
// tree.
type document struct {
	Server  section  `hcl:"server"`
	Agent   section  `hcl:"agent"`
	Plugins ast.Node `hcl:"plugins"`
}

type section struct {
	TrustDomain    string `hcl:"trust_domain"`
	DataDir        string `hcl:"data_dir"`
	SocketPath     string `hcl:"socket_path"`
	AdminSocket    string `hcl:"admin_socket_path"`
	TrustBundle    string `hcl:"trust_bundle_path"`
	CATTL          string `hcl:"ca_ttl"`
	AgentTTL       string `hcl:"agent_ttl"`
	DefaultX509TTL string `hcl:"default_x509_svid_ttl"`
	Federation     struct {
		Endpoint struct {
			Address string   `hcl:"address"`
			Port    int      `hcl:"port"`
			Profile ast.Node `hcl:"profile"`
		} `hcl:"bundle_endpoint"`
	} `hcl:"federation"`
}

// maxConfigNest is how deep brackets may be nested. SPIRE's own files have five at the
// deepest. The library calls itself for each, until the program has no stack left, which
// nothing can recover from.
const maxConfigNest = 100

// nesting is how deep the brackets of a text are nested. Those in strings and comments
// count, too: it is a limit and no parser.
func nesting(text []byte) int {
	depth, deepest := 0, 0
	for _, c := range text {
		switch c {
		case '{', '[', '(':
			depth++
		case '}', ']', ')':
			depth = max(0, depth-1)
		}
		deepest = max(deepest, depth)
	}
	return deepest
}

// parseConfig parses a server.conf or agent.conf: HCL 1 or JSON.
func parseConfig(r io.Reader) (config Config, err error) {
	text, err := io.ReadAll(r)
	if err != nil {
		return Config{}, err
	}
	if nesting(text) > maxConfigNest {
		return Config{}, failure.Errorf(failure.Malformed, "brackets nested deeper than %d", maxConfigNest)
	}
	// The library panics on some tokens that it scans and then can't unquote.
	defer func() {
		if p := recover(); p != nil {
			config, err = Config{}, failure.Wrap(failure.Malformed, errors.New("not HCL"))
		}
	}()
	root, err := hcl.ParseBytes(text)
	if err != nil {
		return Config{}, syntaxError(err)
	}
	var doc document
	if err := hcl.DecodeObject(&doc, root); err != nil {
		return Config{}, syntaxError(err)
	}
	s := doc.Server
	if s == (section{}) {
		s = doc.Agent
	}
	if s == (section{}) {
		return Config{}, syntaxError(nil) // The library also takes half a JSON document for an empty one.
	}
	config = Config{
		DataDir:     s.DataDir,
		Socket:      s.SocketPath,
		AdminSocket: s.AdminSocket,
		TrustBundle: s.TrustBundle,
	}
	if !hasVariable(s.TrustDomain) {
		config.TrustDomain = s.TrustDomain
	}
	if port := s.Federation.Endpoint.Port; port != 0 {
		config.Endpoint = BundleEndpoint{
			Address: net.JoinHostPort(s.Federation.Endpoint.Address, strconv.Itoa(port)),
			Profile: firstKey(s.Federation.Endpoint.Profile),
		}
	}
	if config.AuthorityTTL, err = ttl("ca_ttl", s.CATTL); err != nil {
		return Config{}, err
	}
	// SPIRE's own order: agent_ttl, else what all SVIDs get.
	if config.AgentTTL, err = ttl("agent_ttl", s.AgentTTL); err == nil && config.AgentTTL == 0 {
		config.AgentTTL, err = ttl("default_x509_svid_ttl", s.DefaultX509TTL)
	}
	if err != nil {
		return Config{}, err
	}
	config.Plugins, err = pluginsOf(doc.Plugins)
	return config, err
}

// syntaxError keeps the place and drops the words, which may quote the file.
func syntaxError(err error) error {
	var at *parser.PosError
	if errors.As(err, &at) {
		return failure.Errorf(failure.Malformed, "line %d: not HCL", at.Pos.Line)
	}
	return failure.Wrap(failure.Malformed, errors.New("not the configuration of a SPIRE server or agent"))
}

func ttl(key, value string) (time.Duration, error) {
	if value == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(value)
	if err != nil || d <= 0 {
		return 0, failure.Errorf(failure.Malformed, "%s isn't a duration", key)
	}
	return d, nil
}

// pluginsOf returns the external plugins of a plugins block, each a
// `<type> "<name>" { ... }`, sorted and each once.
func pluginsOf(node ast.Node) ([]Plugin, error) {
	list := listOf(node)
	if list == nil {
		return nil, nil
	}
	var plugins []Plugin
	for _, item := range list.Items {
		keys := keysOf(item)
		if len(keys) != 2 {
			continue // Built in ones without a block, and what SPIRE itself would refuse.
		}
		var settings struct {
			Command  string `hcl:"plugin_cmd"`
			Checksum string `hcl:"plugin_checksum"`
			Enabled  *bool  `hcl:"enabled"`
		}
		if err := hcl.DecodeObject(&settings, item.Val); err != nil {
			return nil, fmt.Errorf("plugin at line %d: %w", item.Pos().Line, syntaxError(err))
		}
		if settings.Command == "" || settings.Enabled != nil && !*settings.Enabled {
			continue
		}
		plugins = append(plugins, Plugin{
			Name:     strings.Join(keys, " "),
			Path:     settings.Command,
			Checksum: settings.Checksum,
		})
	}
	slices.SortFunc(plugins, func(a, b Plugin) int {
		return slices.Compare([]string{a.Name, a.Path, a.Checksum}, []string{b.Name, b.Path, b.Checksum})
	})
	return slices.Compact(plugins), nil
}

// listOf returns the items of an object, of the body of one, or nil.
func listOf(node ast.Node) *ast.ObjectList {
	switch n := node.(type) {
	case *ast.ObjectType:
		return n.List
	case *ast.ObjectList:
		return n
	default:
		return nil
	}
}

func firstKey(node ast.Node) string {
	if list := listOf(node); list != nil && len(list.Items) > 0 {
		if keys := keysOf(list.Items[0]); len(keys) > 0 {
			return keys[0]
		}
	}
	return ""
}

func keysOf(item *ast.ObjectItem) []string {
	keys := make([]string, 0, len(item.Keys))
	for _, key := range item.Keys {
		if text, ok := key.Token.Value().(string); ok {
			keys = append(keys, text)
		}
	}
	return keys
}
