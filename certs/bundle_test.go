package certs

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

const bundles = "../testdata/bundles"

func readTestdata(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// recordedAt returns the moments at which the recorded bundles were.
func recordedAt(t testing.TB) map[string]time.Time {
	t.Helper()
	at := map[string]time.Time{}
	for line := range strings.Lines(string(readTestdata(t, filepath.Join(bundles, "recorded_at.tsv")))) {
		name, moment, _ := strings.Cut(strings.TrimSpace(line), "\t")
		parsed, err := time.Parse(time.RFC3339, moment)
		if err != nil {
			t.Fatal(err)
		}
		at[name] = parsed
	}
	return at
}

func TestRecordedBundles(t *testing.T) {
	hms := func(s string) time.Time {
		parsed, err := time.Parse(time.DateTime, "2026-11-23 "+s)
		if err != nil {
			t.Fatal(err)
		}
		return parsed
	}
	const life = 4*time.Minute + 10*time.Second
	tests := []struct {
		name        string
		valid       int
		expired     int
		first, last time.Time
		lifetime    time.Duration
		trustDomain string
	}{
		{"rotation_1_active_prepared", 2, 0, hms("18:34:15"), hms("18:36:15"), life, "funlab.casa"},
		{"rotation_2_old_valid_active", 2, 0, hms("18:34:15"), hms("18:36:15"), life, "funlab.casa"},
		{"rotation_3_expired_active_prepared", 2, 1, hms("18:36:15"), hms("18:38:15"), life, "funlab.casa"},
		{"rotation_4_two_expired_active_prepared", 2, 2, hms("18:38:15"), hms("18:40:15"), life, "funlab.casa"},
		{"taint_2_old_tainted", 2, 0, hms("18:34:52").AddDate(0, 0, 1), hms("18:34:52").AddDate(0, 0, 1), 24*time.Hour + 10*time.Second, "funlab.casa"},
		{"upstream_authority", 1, 0, hms("18:44:32").AddDate(10, 0, -3), hms("18:44:32").AddDate(10, 0, -3), 3650 * 24 * time.Hour, ""},
	}
	at := recordedAt(t)
	for _, tt := range tests {
		for _, format := range []string{".pem", ".spiffe.json"} {
			t.Run(tt.name+format, func(t *testing.T) {
				parsed := decodeBundle(readTestdata(t, filepath.Join(bundles, tt.name+format)))
				if parsed.err != nil {
					t.Fatal(parsed.err)
				}
				if got := parsed.bundle.TrustDomain; got != tt.trustDomain {
					t.Errorf("trust domain: got %q, want %q", got, tt.trustDomain)
				}
				got := parsed.bundle.At(at[tt.name])
				want := map[State]int{StateValid: tt.valid, StateExpired: tt.expired, StateNotYetValid: 0, StateMalformed: 0}
				if !maps.Equal(got.Authorities, want) {
					t.Errorf("authorities: got %v, want %v", got.Authorities, want)
				}
				if !got.FirstExpiry.Equal(tt.first) || !got.Last.NotAfter.Equal(tt.last) {
					t.Errorf("expiry: got first %v and last %v, want %v and %v", got.FirstExpiry, got.Last.NotAfter, tt.first, tt.last)
				}
				if lifetime := got.Last.NotAfter.Sub(got.Last.NotBefore); lifetime != tt.lifetime {
					t.Errorf("lifetime: got %v, want %v", lifetime, tt.lifetime)
				}
			})
		}
	}
}

// Of a well-formed document the authorities are those that go-spiffe finds.
func TestDecodeJWKSLikeGoSPIFFE(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join(bundles, "*.spiffe.json"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no recorded bundles: %v", err)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			data := readTestdata(t, path)
			reference, err := spiffebundle.Parse(spiffeid.RequireTrustDomainFromString("funlab.casa"), data)
			if err != nil {
				t.Fatal(err)
			}
			got, want := decodeJWKS(data).certificates, reference.X509Authorities()
			if len(got) != len(want) {
				t.Fatalf("got %d authorities, want %d", len(got), len(want))
			}
			for i := range want {
				if !got[i].Equal(want[i]) {
					t.Errorf("authority %d: got %v, want %v", i, got[i].Subject, want[i].Subject)
				}
			}
		})
	}
}

func TestBundleAt(t *testing.T) {
	at := func(seconds int64) time.Time { return time.Unix(seconds, 0) }
	authority := func(from, to int64) Authority {
		return Authority{Certificate: Certificate{NotBefore: at(from), NotAfter: at(to)}}
	}
	old, active, prepared := authority(0, 100), authority(50, 200), authority(150, 300)
	all := []Authority{prepared, old, active}
	last := &prepared.Certificate
	counts := func(valid, expired, notYet, malformed int) map[State]int {
		return map[State]int{StateValid: valid, StateExpired: expired, StateNotYetValid: notYet, StateMalformed: malformed}
	}
	tests := []struct {
		name   string
		bundle Bundle
		now    time.Time
		want   map[State]int
		first  time.Time
		last   *Certificate
	}{
		{"before all", Bundle{Authorities: all}, at(-1), counts(0, 0, 3, 0), time.Time{}, last},
		{"first second", Bundle{Authorities: all}, at(0), counts(1, 0, 2, 0), at(100), last},
		{"last second", Bundle{Authorities: all}, at(100), counts(2, 0, 1, 0), at(100), last},
		{"a second later", Bundle{Authorities: all}, at(101), counts(1, 1, 1, 0), at(200), last},
		{"after all", Bundle{Authorities: all}, at(301), counts(0, 3, 0, 0), time.Time{}, last},
		{"malformed count apart", Bundle{Authorities: all[:1], Malformed: 2}, at(160), counts(1, 0, 0, 2), at(300), last},
		{"none", Bundle{}, at(0), counts(0, 0, 0, 0), time.Time{}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := tt.bundle.At(tt.now)
			if !maps.Equal(got.Authorities, tt.want) || !got.FirstExpiry.Equal(tt.first) {
				t.Errorf("At: got %v, first %v, want %v, %v", got.Authorities, got.FirstExpiry, tt.want, tt.first)
			}
			if (got.Last == nil) != (tt.last == nil) || got.Last != nil && *got.Last != *tt.last {
				t.Errorf("last: got %v, want %v", got.Last, tt.last)
			}
		})
	}
}

type jwk map[string]any

func jwks(t testing.TB, keys ...jwk) []byte {
	t.Helper()
	data, err := json.Marshal(map[string]any{"keys": append([]jwk{}, keys...)})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func x509Key(authorities ...*minted) jwk {
	var x5c [][]byte // which JSON shows in base64
	for _, a := range authorities {
		x5c = append(x5c, a.Raw)
	}
	return jwk{"use": "x509-svid", "kty": "EC", "x5c": x5c}
}

func TestDecodeBundle(t *testing.T) {
	a := mint(t, "a", nil, isCA, spiffeID(t, "spiffe://one.example"))
	b := mint(t, "b", nil, isCA, spiffeID(t, "spiffe://one.example"))
	other := mint(t, "other", nil, isCA, spiffeID(t, "spiffe://two.example"))
	upstream := mint(t, "upstream", nil, isCA, spiffeID(t, "https://three.example"))
	badPEM := block("CERTIFICATE", []byte("no certificate"))
	jwt := jwk{"use": "jwt-svid", "kty": "EC", "kid": "k"}
	tests := []struct {
		name        string
		data        []byte
		want        []string
		malformed   int
		trustDomain string
		reason      LoadReason
	}{
		{"PEM", pemOf(a, b), []string{"CN=a", "CN=b"}, 0, "one.example", ""},
		{"duplicates in PEM", pemOf(a, b, a), []string{"CN=a", "CN=b"}, 0, "one.example", ""},
		{"duplicates in JSON", jwks(t, x509Key(a), x509Key(a)), []string{"CN=a"}, 0, "one.example", ""},
		{"two trust domains", pemOf(a, other), []string{"CN=a", "CN=other"}, 0, "", ""},
		{"one names none", pemOf(a, upstream), []string{"CN=a", "CN=upstream"}, 0, "one.example", ""},
		{"none names any", pemOf(upstream), []string{"CN=upstream"}, 0, "", ""},
		{"JWT keys don't count", jwks(t, jwt, x509Key(a), jwt), []string{"CN=a"}, 0, "one.example", ""},
		{"unknown uses don't count", jwks(t, jwk{"use": "wit-svid"}, jwk{}, x509Key(a)), []string{"CN=a"}, 0, "one.example", ""},
		{"white space before JSON", append([]byte("\n "), jwks(t, x509Key(a))...), []string{"CN=a"}, 0, "one.example", ""},

		{"one bad in PEM", slices.Concat(pemOf(a), badPEM), []string{"CN=a"}, 1, "one.example", ""},
		{"half written PEM", slices.Concat(pemOf(a), pemOf(b)[:90]), []string{"CN=a"}, 1, "one.example", ""},
		{"one bad certificate in JSON", jwks(t, jwk{"use": "x509-svid", "x5c": []string{"AAAA"}}, x509Key(a)), []string{"CN=a"}, 1, "one.example", ""},
		{"no base64", jwks(t, jwk{"use": "x509-svid", "x5c": []string{"????"}}, x509Key(a)), []string{"CN=a"}, 1, "one.example", ""},
		{"two certificates in a key", jwks(t, x509Key(a, b), x509Key(a)), []string{"CN=a"}, 1, "one.example", ""},
		{"no certificate in a key", jwks(t, jwk{"use": "x509-svid"}, x509Key(a)), []string{"CN=a"}, 1, "one.example", ""},
		{"x5c of another type", jwks(t, jwk{"use": "x509-svid", "x5c": 1}, x509Key(a)), []string{"CN=a"}, 1, "one.example", ""},
		{"key of another type", []byte(`{"keys":[1]}`), nil, 1, "", Malformed},

		{"all bad", badPEM, nil, 1, "", Malformed},
		{"half written JSON", jwks(t, x509Key(a))[:200], nil, 1, "", Malformed},
		{"JSON without keys", []byte(`{}`), nil, 1, "", Malformed},
		{"JSON with null for keys", []byte(`{"keys":null}`), nil, 1, "", Malformed},
		{"JSON with no keys", []byte(`{"keys":[]}`), nil, 0, "", Empty},
		{"JWT keys only", jwks(t, jwt), nil, 0, "", Empty},
		{"empty", nil, nil, 0, "", Empty},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			parsed := decodeBundle(tt.data)
			var got []string
			for _, c := range parsed.bundle.Authorities {
				got = append(got, c.Subject)
			}
			if !slices.Equal(got, tt.want) || parsed.bundle.Malformed != tt.malformed {
				t.Errorf("got %q and %d malformed, want %q and %d", got, parsed.bundle.Malformed, tt.want, tt.malformed)
			}
			if parsed.bundle.TrustDomain != tt.trustDomain {
				t.Errorf("trust domain: got %q, want %q", parsed.bundle.TrustDomain, tt.trustDomain)
			}
			if reason := reasonOf(parsed.err); reason != tt.reason {
				t.Errorf("reason: got %q (%v), want %q", reason, parsed.err, tt.reason)
			}
		})
	}
}

func FuzzDecodeBundle(f *testing.F) {
	paths, err := filepath.Glob(filepath.Join(bundles, "*_*.*"))
	if err != nil || len(paths) == 0 {
		f.Fatalf("no recorded bundles: %v", err)
	}
	for _, path := range paths {
		f.Add(readTestdata(f, path))
	}
	f.Add([]byte(`{"keys":[{"use":"x509-svid","x5c":["AAAA"]},1,null]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		parsed := decodeBundle(bytes.Clone(data))
		if (parsed.err == nil) != (len(parsed.bundle.Authorities) > 0) {
			t.Errorf("got error %v with %d authorities", parsed.err, len(parsed.bundle.Authorities))
		}
		v := parsed.bundle.At(time.Unix(1_800_000_000, 0))
		total := 0
		for _, n := range v.Authorities {
			total += n
		}
		if want := len(parsed.bundle.Authorities) + parsed.bundle.Malformed; total != want {
			t.Errorf("states count %d authorities, want %d", total, want)
		}
	})
}

func BenchmarkDecodeBundle10000(b *testing.B) {
	one := mint(b, "authority", nil, isCA)
	data := bytes.Repeat(pemOf(one), 10_000)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if parsed := decodeBundle(data); len(parsed.bundle.Authorities) == 0 {
			b.Fatal(parsed.err)
		}
	}
}
