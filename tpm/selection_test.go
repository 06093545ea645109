package tpm

import (
	"slices"
	"testing"
)

func TestParsePCRs(t *testing.T) {
	for _, test := range []struct {
		name string
		text string
		want string // empty: an error
	}{
		{"range", "0-7", "0,1,2,3,4,5,6,7"},
		{"list", "0,2,4,7", "0,2,4,7"},
		{"both, unsorted, twice", "7,0-2,1", "0,1,2,7"},
		{"last", "23", "23"},
		{"range of one", "5-5", "5"},
		{"beyond", "24", ""},
		{"backwards", "7-0", ""},
		{"empty", "", ""},
		{"empty item", "0,,2", ""},
		{"open range", "3-", ""},
		{"negative", "-1", ""},
		{"sign", "+1", ""},
		{"leading zero", "01", ""},
		{"space", "0, 2", ""},
		{"word", "all", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := ParsePCRs(test.text)
			if (err == nil) != (test.want != "") || got.String() != test.want {
				t.Errorf("ParsePCRs(%q): got %q, %v, want %q", test.text, got, err, test.want)
			}
		})
	}
}

func FuzzParsePCRs(f *testing.F) {
	for _, seed := range []string{"0-7", "0,2,4,7", "23", "7-0", "", "-", "0-4294967295", ","} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		set, err := ParsePCRs(text)
		if err != nil {
			return
		}
		again, err := ParsePCRs(set.String())
		if err != nil || again != set || set.Len() == 0 || set >= 1<<pcrCount {
			t.Errorf("ParsePCRs(%q): got %q, and of that %q, %v", text, set, again, err)
		}
	})
}

func TestBank(t *testing.T) {
	for _, test := range []struct {
		text string
		want Bank
	}{
		{"sha1", SHA1},
		{"sha256", SHA256},
		{"sha384", SHA384},
		{"sha512", SHA512},
		{"sm3_256", SM3},
		{"0x0027", 0x27},
	} {
		t.Run(test.text, func(t *testing.T) {
			got, err := ParseBank(test.text)
			if err != nil || got != test.want || got.String() != test.text {
				t.Errorf("got %v (0x%04x), %v, want 0x%04x", got, uint16(got), err, uint16(test.want))
			}
		})
	}
	for _, text := range []string{"", "SHA256", "md5", "0x", "0x12345", "sha256 "} {
		if got, err := ParseBank(text); err == nil {
			t.Errorf("ParseBank(%q): got %v, want an error", text, got)
		}
	}
}

func TestUnion(t *testing.T) {
	union := Select(NewPCRSet(0, 7), SHA256).Union(Selection{SHA256: NewPCRSet(4), SHA1: NewPCRSet(2), SHA384: 0})
	if got, want := union.Banks(), []Bank{SHA1, SHA256}; !slices.Equal(got, want) {
		t.Errorf("banks: got %v, want %v", got, want)
	}
	if got, want := union[SHA256], NewPCRSet(0, 4, 7); got != want {
		t.Errorf("sha256: got %v, want %v", got, want)
	}
	if got := Selection(nil).Union(nil).Banks(); len(got) != 0 {
		t.Errorf("of nothing: got %v, want none", got)
	}
}

func TestStaysPut(t *testing.T) {
	var got PCRSet
	for index := -1; index <= pcrCount; index++ {
		if StaysPut(index) {
			got |= NewPCRSet(index)
		}
	}
	if want := pcrSet(t, "0-7,17-22"); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}
