package certs

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func TestCompare(t *testing.T) {
	now := time.Date(2026, 11, 23, 18, 0, 0, 0, time.UTC)
	authority := func(key string, ends time.Duration) Authority {
		return Authority{Key: key, Certificate: Certificate{NotBefore: now.Add(ends - 24*time.Hour), NotAfter: now.Add(ends)}}
	}
	tainted := func(a Authority) Authority { a.Tainted = true; return a }
	a, b, c := authority("a", time.Hour), authority("b", 12*time.Hour), authority("c", 30*time.Hour)
	expired := authority("old", -time.Second)
	tests := []struct {
		name         string
		copied, live []Authority
		want         Difference
	}{
		{"equal", []Authority{a, b}, []Authority{a, b}, Difference{}},
		{"in another order", []Authority{b, a}, []Authority{a, b}, Difference{}},
		{"twice", []Authority{a, a}, []Authority{a}, Difference{}},
		{"the next one isn't copied yet", []Authority{a}, []Authority{a, b}, Difference{Missing: 1}},
		{"nothing copied", nil, []Authority{a, b}, Difference{Missing: 2}},
		{"not yet valid counts", []Authority{a}, []Authority{a, c}, Difference{Missing: 1}},
		{"the copy keeps what expired", []Authority{expired, a}, []Authority{a}, Difference{}},
		{"the copy dropped what expired", []Authority{a}, []Authority{expired, a}, Difference{}},
		{"ends this second, still valid", []Authority{}, []Authority{authority("x", 0)}, Difference{Missing: 1}},
		{"renewed under the same key", []Authority{authority("a", time.Hour)}, []Authority{authority("a", 48*time.Hour)}, Difference{}},
		{"renewed, and the copy's certificate expired", []Authority{authority("a", -time.Hour)}, []Authority{authority("a", 48*time.Hour)}, Difference{Missing: 1}},
		{"tainted and copied", []Authority{a, b}, []Authority{tainted(a), b}, Difference{Tainted: 1}},
		{"tainted and not copied", []Authority{b}, []Authority{tainted(a), b}, Difference{}},
		{"one of a key's certificates is tainted", []Authority{a}, []Authority{tainted(a), a}, Difference{Tainted: 1}},
		{"revoked", []Authority{a, b}, []Authority{b}, Difference{Tainted: 1}},
		{"another trust domain's copy", []Authority{a}, []Authority{b}, Difference{Missing: 1, Tainted: 1}},
		{"both empty", nil, nil, Difference{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := Compare(tt.copied, tt.live, now); got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

// A file made at one step of a real rotation, against the bundle of another.
func TestCompareRecorded(t *testing.T) {
	read := func(folder string) []Authority {
		t.Helper()
		text, err := os.ReadFile(filepath.Join("../testdata/spire", folder, "bundle_show.pem"))
		if err != nil {
			t.Fatal(err)
		}
		return ParseBundle("", text).Authorities
	}
	tests := []struct {
		copied, live, at string
		want             Difference
	}{
		{"rotation/1_old_valid_active", "rotation/1_old_valid_active", "2026-11-23T18:33:58Z", Difference{}},
		{"rotation/1_old_valid_active", "rotation/2_expired_active_prepared", "2026-11-23T18:34:22Z", Difference{Missing: 1}},
		{"rotation/2_expired_active_prepared", "rotation/1_old_valid_active", "2026-11-23T18:34:22Z", Difference{Tainted: 1}},
		{"rotation/1_old_valid_active", "rotation/3_two_expired_active_prepared", "2026-11-23T18:36:28Z", Difference{Missing: 2}},
		{"taint/2_old_tainted", "taint/3_old_revoked", "2026-11-23T18:37:00Z", Difference{Tainted: 1}},
	}
	for _, tt := range tests {
		t.Run(tt.copied+" against "+tt.live, func(t *testing.T) {
			at, err := time.Parse(time.RFC3339, tt.at)
			if err != nil {
				t.Fatal(err)
			}
			copied, live := read(tt.copied), read(tt.live)
			if got := Compare(copied, live, at); got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
			slices.Reverse(live)
			if got := Compare(copied, live, at); got != tt.want {
				t.Errorf("got %+v with the order reversed, want %+v", got, tt.want)
			}
		})
	}
}

func TestLiveIn(t *testing.T) {
	own, partner := LiveBundle{TrustDomain: "funlab.casa", Source: "server"}, LiveBundle{TrustDomain: "partner.example", Source: "workload-api"}
	cached := LiveBundle{TrustDomain: "funlab.casa", Source: "agent-data"}
	tests := []struct {
		name   string
		bundle Bundle
		live   []LiveBundle
		want   string // the source, empty: none
	}{
		{"of its trust domain", Bundle{TrustDomain: "partner.example"}, []LiveBundle{own, partner}, "workload-api"},
		{"of no trust domain there", Bundle{TrustDomain: "other.example"}, []LiveBundle{own, partner}, ""},
		{"names none, one live", Bundle{}, []LiveBundle{own}, "server"},
		{"names none, two live", Bundle{}, []LiveBundle{own, partner}, ""},
		{"is the live one", Bundle{Name: "agent-data", TrustDomain: "funlab.casa"}, []LiveBundle{cached}, ""},
		{"no live side", Bundle{TrustDomain: "funlab.casa"}, nil, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := tt.bundle.LiveIn(tt.live)
			if got.Source != tt.want || ok != (tt.want != "") {
				t.Errorf("got %q, %v, want %q", got.Source, ok, tt.want)
			}
		})
	}
}

func BenchmarkCompare10000(b *testing.B) {
	now := time.Now()
	authorities := make([]Authority, 10_000)
	for i := range authorities {
		authorities[i] = Authority{Key: string(rune(i)) + "key", Certificate: Certificate{NotAfter: now.Add(time.Hour)}}
	}
	for b.Loop() {
		Compare(authorities, authorities, now)
	}
}
