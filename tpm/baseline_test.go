package tpm

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"funlab.casa/attestation_exporter/failure"
)

const baselineFixture = "../testdata/tpm/baseline.json"

func readBaselineFixture(t testing.TB) []byte {
	t.Helper()
	content, err := os.ReadFile(baselineFixture)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func TestBaselineFile(t *testing.T) {
	content := readBaselineFixture(t)
	baseline, err := ParseBaseline(content)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := places(baseline.PCRs), []string{"sha256:0", "sha256:2", "sha256:4", "sha256:7"}; !reflect.DeepEqual(got, want) {
		t.Errorf("PCRs: got %v, want %v", got, want)
	}
	var written bytes.Buffer
	if err := baseline.Write(&written); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(written.Bytes(), content) {
		t.Errorf("written again: got\n%s\nwant\n%s", written.Bytes(), content)
	}
}

func TestBaselineRefused(t *testing.T) {
	whole := string(readBaselineFixture(t))
	for _, test := range []struct {
		name     string
		old, new string
	}{
		{"empty", whole, ""},
		{"null", whole, "null"},
		{"cut off", `    }
  }
}`, ""},
		{"text after it", "  }\n}\n", "  }\n} {}"},
		{"other version", `"version": 1`, `"version": 2`},
		{"no version", `"version": 1,`, ``},
		{"no time", `"created": "2026-01-02T03:04:05Z",`, ``},
		{"not a time", "2026-01-02T03:04:05Z", "yesterday"},
		{"unknown field", `"version": 1,`, `"version": 1, "pcr": {},`},
		{"unknown bank", "sha256", "sha255"},
		{"no such PCR", `"7"`, `"24"`},
		{"not an index", `"7"`, `"07"`},
		{"short digest", "309d", "30"},
		{"digest of another bank", "sha256", "sha1"},
		{"not hexadecimal", "309d", "30xx"},
		{"no PCRs", `"sha256"`, `"sha256": {}}} {"sha1"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			content := strings.Replace(whole, test.old, test.new, 1)
			if content == whole {
				t.Fatal("the case changes nothing")
			}
			if got, err := ParseBaseline([]byte(content)); err == nil {
				t.Errorf("got %+v, want an error", got)
			}
		})
	}
}

func TestCompare(t *testing.T) {
	baseline, err := ParseBaseline(readBaselineFixture(t))
	if err != nil {
		t.Fatal(err)
	}
	today := bytes.Repeat([]byte{1}, 32)
	got := baseline.Compare([]PCR{
		{SHA256, 0, baseline.PCRs[0].Digest},
		{SHA256, 2, today},
		{SHA256, 3, today},
		{SHA1, 4, today},
		{SHA256, 7, baseline.PCRs[3].Digest},
	})
	want := Comparison{
		Created: baseline.Created,
		Matches: Selection{SHA256: NewPCRSet(0, 7)},
		Differs: Selection{SHA256: NewPCRSet(2)},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestLoadBaseline(t *testing.T) {
	folder := t.TempDir()
	write := func(name string, content []byte) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, test := range []struct {
		name  string
		path  string
		given bool
		pcrs  int
		want  failure.Reason // empty: no error
	}{
		{name: "none"},
		{name: "good", path: baselineFixture, pcrs: 4},
		{name: "absent", path: filepath.Join(folder, "absent")},
		{name: "given and absent", path: filepath.Join(folder, "absent"), given: true, want: failure.Unreachable},
		{name: "malformed", path: write("malformed", []byte("{")), want: failure.Malformed},
		{name: "too large", path: write("large", append(readBaselineFixture(t), bytes.Repeat([]byte(" "), maxBaselineSize)...)), want: failure.Malformed},
		{name: "folder", path: folder, want: failure.Malformed},
	} {
		t.Run(test.name, func(t *testing.T) {
			source := &Source{Baseline: test.path, BaselineGiven: test.given}
			got, err := source.loadBaseline()
			if len(got.PCRs) != test.pcrs {
				t.Errorf("got %d PCRs, want %d", len(got.PCRs), test.pcrs)
			}
			checkReason(t, err, test.want)
		})
	}
}

// checkReason wants an error of the reason, or none for "".
func checkReason(t *testing.T, err error, want failure.Reason) {
	t.Helper()
	var got failure.Reason
	if err != nil {
		got = failure.Of(err)
	}
	if got != want {
		t.Errorf("got error %v (%q), want reason %q", err, got, want)
	}
}

func FuzzParseBaseline(f *testing.F) {
	f.Add(readBaselineFixture(f))
	f.Add([]byte(`{"version":1,"created":"2026-01-02T03:04:05+01:00","pcrs":{"0x0027":{"23":"ff"}}}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		baseline, err := ParseBaseline(content)
		if err != nil {
			return
		}
		var written bytes.Buffer
		if err := baseline.Write(&written); err != nil {
			t.Fatal(err)
		}
		again, err := ParseBaseline(written.Bytes())
		if err != nil || !reflect.DeepEqual(again.PCRs, baseline.PCRs) || !again.Created.Equal(baseline.Created) {
			t.Errorf("got %+v after writing, %v, want %+v", again, err, baseline)
		}
	})
}
