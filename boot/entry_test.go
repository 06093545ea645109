package boot

import (
	"cmp"
	"testing"
)

func TestCompareVersions(t *testing.T) {
	// Each is older than the next.
	rising := []string{
		"~1", "", "0", "1~rc1", "1~rc2", "1", "1-1", "1^1", "1.1", "1.1.1", "1.2", "1.9", "1.10", "1.10-1", "1.10-2", "1a", "2", "10", "122.1", "123",
	}
	for i, a := range rising {
		for j, b := range rising {
			if got, want := compareVersions(a, b), cmp.Compare(i, j); got != want {
				t.Errorf("%q and %q: got %d, want %d", a, b, got, want)
			}
		}
	}
	for _, pair := range [][2]string{{"1.0", "1.0"}, {"01", "1"}, {"a_1", "a_1"}, {"1_2", "1__2"}} {
		if got := compareVersions(pair[0], pair[1]); got != 0 {
			t.Errorf("%q and %q: got %d, want 0", pair[0], pair[1], got)
		}
	}
}

func FuzzCompareVersions(f *testing.F) {
	f.Add("6.1.0-55-amd64", "6.1.0-56-amd64")
	f.Add("1~rc1^2", "~^~")
	f.Fuzz(func(t *testing.T, a, b string) {
		if forth, back := compareVersions(a, b), compareVersions(b, a); forth != -back {
			t.Errorf("%q and %q: %d one way and %d the other", a, b, forth, back)
		}
	})
}

func TestChooseEntry(t *testing.T) {
	old := loaderEntry{file: "debian-6.1.conf", sortKey: "debian", version: "6.1", linux: "/old"}
	recent := loaderEntry{file: "debian-6.10.conf", sortKey: "debian", version: "6.10", linux: "/recent"}
	tried := loaderEntry{file: "debian-6.11+0-3.conf", sortKey: "debian", version: "6.11", linux: "/tried"}
	trying := loaderEntry{file: "debian-6.12+2-1.conf", sortKey: "debian", version: "6.12", linux: "/trying"}
	nameless := loaderEntry{file: "zzz-9.conf", linux: "/nameless"}
	unified := loaderEntry{file: "arch-7.efi", sortKey: "arch", version: "7", efi: "/EFI/Linux/arch-7.efi"}
	tests := []struct {
		name    string
		entries []loaderEntry
		wishes  []string
		want    string
	}{
		{"newest version", []loaderEntry{old, recent}, nil, "/recent"},
		{"tried in vain comes last", []loaderEntry{tried, old}, nil, "/old"},
		{"still being tried", []loaderEntry{old, trying, recent}, nil, "/trying"},
		{"without a sort key after those with one", []loaderEntry{nameless, old}, nil, "/old"},
		{"sort key before version", []loaderEntry{recent, unified}, nil, "/EFI/Linux/arch-7.efi"},
		{"wish by name", []loaderEntry{old, recent}, []string{"", "debian-6.1.conf"}, "/old"},
		{"wish by pattern, in another case", []loaderEntry{old, unified}, []string{"DEBIAN-*"}, "/old"},
		{"wish without the counters", []loaderEntry{old, trying}, []string{"debian-6.12.conf"}, "/trying"},
		{"first wish that is granted", []loaderEntry{old, recent}, []string{"nothing", "debian-6.1.conf", "debian-6.10.conf"}, "/old"},
		{"wish that is no pattern", []loaderEntry{old, recent}, []string{"[", "x"}, "/recent"},
		{"none", nil, []string{"x"}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, _ := chooseEntry(tt.entries, tt.wishes...); got.image() != tt.want {
				t.Errorf("got %q, want %q", got.image(), tt.want)
			}
		})
	}
}
