package keylime

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// agentTOML is the allow-list of what is decoded of an agent's configuration. The
// agent's own reader takes numbers and booleans as text, too.
type agentTOML struct {
	Agent struct {
		UUID            any `toml:"uuid"`
		IP              any `toml:"ip"`
		Port            any `toml:"port"`
		EnableMTLS      any `toml:"enable_agent_mtls"`
		KeylimeDir      any `toml:"keylime_dir"`
		ServerCert      any `toml:"server_cert"`
		TrustedClientCA any `toml:"trusted_client_ca"`
		RegistrarCA     any `toml:"registrar_tls_ca_cert"`
		VerifierCA      any `toml:"verifier_tls_ca_cert"`
		IAKCert         any `toml:"iak_cert"`
		IDevIDCert      any `toml:"idevid_cert"`
	} `toml:"agent"`
}

// parseTOML reads the configuration of the Rust agent.
func parseTOML(path string, text []byte, _ string, allowed []string) (values, error) {
	var document agentTOML
	if err := toml.Unmarshal(text, &document); err != nil {
		return nil, tomlError(path, err)
	}
	agent := document.Agent
	found := values{}
	for key, raw := range map[string]any{
		"uuid":                  agent.UUID,
		"ip":                    agent.IP,
		"port":                  agent.Port,
		"enable_agent_mtls":     agent.EnableMTLS,
		"keylime_dir":           agent.KeylimeDir,
		"server_cert":           agent.ServerCert,
		"trusted_client_ca":     agent.TrustedClientCA,
		"registrar_tls_ca_cert": agent.RegistrarCA,
		"verifier_tls_ca_cert":  agent.VerifierCA,
		"iak_cert":              agent.IAKCert,
		"idevid_cert":           agent.IDevIDCert,
	} {
		if raw == nil || !slices.Contains(allowed, key) {
			continue
		}
		setting := value{from: path}
		var ok bool
		if setting.text, ok = scalarText(raw); !ok {
			setting.err = fmt.Errorf("%s: %s is neither text, number, truth value nor list of texts", path, key)
		}
		found[key] = setting
	}
	return found, nil
}

// tomlError keeps of a decoder's error where it is and drops its text, which may
// quote a password.
func tomlError(path string, err error) error {
	var decode *toml.DecodeError
	if errors.As(err, &decode) {
		line, _ := decode.Position()
		return fmt.Errorf("%s:%d: not TOML of the right form", path, line)
	}
	return fmt.Errorf("%s: not TOML of the right form", path)
}

func scalarText(raw any) (string, bool) {
	switch v := raw.(type) {
	case string:
		return v, true
	case int64:
		return strconv.FormatInt(v, 10), true
	case bool:
		return strconv.FormatBool(v), true
	case []any:
		texts := make([]string, 0, len(v))
		for _, element := range v {
			text, ok := element.(string)
			if !ok {
				return "", false
			}
			texts = append(texts, text)
		}
		return strings.Join(texts, ", "), true
	}
	return "", false
}
