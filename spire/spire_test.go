package spire

import (
	"strings"
	"testing"

	"funlab.casa/attestation_exporter/failure"
)

func TestParseIdentity(t *testing.T) {
	long := "spiffe://funlab.casa/" + strings.Repeat("a", 2048-len("spiffe://funlab.casa/"))
	tests := []struct {
		name string
		id   string
		want Identity
	}{
		{"Keylime agent", "spiffe://funlab.casa/spire/agent/keylime/d432fbb3", Identity{TrustDomain: "funlab.casa", AttestationType: "keylime", KeylimeAgent: "d432fbb3"}},
		{"join token", "spiffe://funlab.casa/spire/agent/join_token/ca26208e", Identity{TrustDomain: "funlab.casa", AttestationType: "join_token"}},
		{"more segments than Keylime's", "spiffe://funlab.casa/spire/agent/keylime/a/b", Identity{TrustDomain: "funlab.casa", AttestationType: "keylime"}},
		{"type without id", "spiffe://funlab.casa/spire/agent/keylime", Identity{TrustDomain: "funlab.casa"}},
		{"a path of the user's own", "spiffe://funlab.casa/hosts/web", Identity{TrustDomain: "funlab.casa"}},
		{"no path", "spiffe://funlab.casa", Identity{TrustDomain: "funlab.casa"}},
		{"as long as allowed", long, Identity{TrustDomain: "funlab.casa"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.want.ID = tt.id
			got, err := parseIdentity(tt.id)
			if err != nil || got != tt.want {
				t.Errorf("got %+v, %v, want %+v", got, err, tt.want)
			}
		})
	}
}

func TestParseIdentityRefuses(t *testing.T) {
	tests := []struct{ name, id string }{
		{"empty", ""},
		{"another scheme", "https://funlab.casa/spire/agent"},
		{"no trust domain", "spiffe:///spire/agent"},
		{"dots in the path", "spiffe://funlab.casa/../agent"},
		{"empty segment", "spiffe://funlab.casa//agent"},
		{"trailing slash", "spiffe://funlab.casa/agent/"},
		{"not UTF-8", "spiffe://funlab.casa/\xff"},
		{"too long", "spiffe://funlab.casa/" + strings.Repeat("a", 2048)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseIdentity(tt.id)
			if err == nil || failure.Of(err) != failure.Malformed {
				t.Errorf("got %+v, %v, want a malformed error", got, err)
			}
			if len(err.Error()) > 300 {
				t.Errorf("got an error of %d bytes, want a short one", len(err.Error()))
			}
		})
	}
}

func FuzzParseIdentity(f *testing.F) {
	f.Add("spiffe://funlab.casa/spire/agent/keylime/d432fbb3-d2f1-4a97-9ef7-75bd81c00000")
	f.Add("spiffe://funlab.casa")
	f.Fuzz(func(t *testing.T, id string) {
		got, err := parseIdentity(id)
		if err == nil && (got.ID != id || got.TrustDomain == "") {
			t.Errorf("got %+v for %q", got, id)
		}
	})
}
