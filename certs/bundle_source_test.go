package certs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"funlab.casa/attestation_exporter/failure"
)

func newTestBundleSource(t testing.TB, files ...File) *BundleSource {
	t.Helper()
	s, err := NewBundleSource(slog.New(slog.DiscardHandler), files)
	if err != nil {
		t.Fatal(err)
	}
	s.cache.Now = func() time.Time { return time.Now().Add(time.Hour) }
	return s
}

func TestBundleSource(t *testing.T) {
	a, b := mint(t, "a", nil, isCA, spiffeID(t, "spiffe://funlab.casa")), mint(t, "b", nil, isCA)
	dir := publicDir(t)
	in := func(name string) string { return filepath.Join(dir, name) }
	write(t, in("bundle.pem"), pemOf(a, b))
	write(t, in("bundle.json"), jwks(t, x509Key(a)))
	write(t, in("half.json"), jwks(t, x509Key(a))[:100])
	write(t, in("half.pem"), pemOf(a, b)[:len(pemOf(a, b))-100])
	write(t, in("secret.pem"), pemOf(a))
	write(t, in("*.pem"), pemOf(b)) // no pattern
	if err := errors.Join(os.Chmod(in("secret.pem"), 0), os.Mkdir(in("dir"), 0o755), os.Truncate(write(t, in("huge"), nil), maxBundleFile+1)); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		files []File
		want  []string
		err   error
	}{
		{"PEM and JSON", []File{{Path: in("bundle.pem")}, {Path: in("bundle.json")}}, []string{"bundle.pem funlab.casa 2+0", "bundle.json funlab.casa 1+0"}, nil},
		{"half written", []File{{Path: in("half.pem")}, {Path: in("half.json")}}, []string{"half.pem funlab.casa 1+1", "half.json  0+1 failed malformed"}, nil},
		{"given and absent", []File{{Path: in("absent")}}, []string{"absent  0+0 failed not_found"}, nil},
		{"default and absent", []File{{Path: in("absent"), Optional: true}}, nil, ErrAbsent},
		{"default and secret", []File{{Path: in("secret.pem"), Optional: true}}, []string{"secret.pem  0+0 failed permission"}, nil},
		{"folder, and too large", []File{{Path: in("dir")}, {Path: in("huge")}}, []string{"dir  0+0 failed not_regular", "huge  0+0 failed too_large"}, nil},
		{"no patterns", []File{{Path: in("*.pem")}}, []string{"*.pem  1+0"}, nil},
		{"nothing", nil, nil, ErrAbsent},
	}
	asNobody(t, func() {
		for _, tt := range tests {
			reading, err := newTestBundleSource(t, tt.files...).Read(t.Context())
			if got := bundleLines(reading); !slices.Equal(got, tt.want) || !errors.Is(err, tt.err) {
				t.Errorf("%s: got %q (%v), want %q (%v)", tt.name, got, err, tt.want, tt.err)
			}
		}
	})
}

// bundleLines shows bundles in short, authorities as well-formed and malformed.
func bundleLines(r BundleReading) []string {
	var out []string
	for _, b := range r.Bundles {
		line := fmt.Sprintf("%s %s %d+%d", filepath.Base(b.Name), b.TrustDomain, len(b.Authorities), b.Malformed)
		if b.Failed != "" {
			line += " failed " + string(b.Failed)
		}
		out = append(out, line)
	}
	return out
}

func TestBundleSourceInTime(t *testing.T) {
	path := write(t, filepath.Join(t.TempDir(), "bundle.pem"), pemOf(mint(t, "a", nil, isCA)))
	past := time.Now().Add(-time.Hour).Truncate(time.Second)
	if err := os.Chtimes(path, past, past); err != nil {
		t.Fatal(err)
	}
	s := newTestBundleSource(t, File{Path: path, Optional: true})
	opened, parse := 0, s.cache.parse
	s.cache.parse = func(data []byte) parsedBundle { opened++; return parse(data) }
	for range 2 {
		before := time.Now()
		reading, err := s.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got := reading.Bundles[0].Modified; !got.Equal(past) {
			t.Errorf("modified: got %v, want %v", got, past)
		}
		if reading.At.Before(before) || reading.At.After(time.Now()) {
			t.Errorf("at: got %v, want between %v and now", reading.At, before)
		}
	}
	if opened != 1 {
		t.Errorf("opened: got %d times, want 1", opened)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	reading, err := s.Read(t.Context())
	if got, want := bundleLines(reading), []string{"bundle.pem  0+0 failed not_found"}; !slices.Equal(got, want) || err != nil {
		t.Errorf("after it vanished: got %q (%v), want %q", got, err, want)
	}

	ctx, cancel := context.WithDeadline(t.Context(), past)
	defer cancel()
	if _, err := s.Read(ctx); err == nil || failure.Of(err) != failure.Timeout {
		t.Errorf("without time: got %v, want reason timeout", err)
	}
}

func TestNewBundleSourceRefuses(t *testing.T) {
	if _, err := NewBundleSource(slog.New(slog.DiscardHandler), []File{{Path: "/a"}, {Path: "/./a"}}); err == nil {
		t.Error("NewBundleSource with a file twice: got nil, want an error")
	}
}

func TestBundleReadingJSON(t *testing.T) {
	path := write(t, filepath.Join(t.TempDir(), "bundle.pem"), pemOf(mint(t, "a", nil, isCA)))
	reading, err := newTestBundleSource(t, File{Path: path}).Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	reading.At = reading.At.Round(0).UTC() // JSON knows neither a monotonic clock nor zones' names.
	reading.Bundles[0].Modified = reading.Bundles[0].Modified.UTC()
	text, err := json.Marshal(reading)
	if err != nil {
		t.Fatal(err)
	}
	var again BundleReading
	if err := json.Unmarshal(text, &again); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(again, reading) {
		t.Errorf("after JSON: got %+v, want %+v", again, reading)
	}
}
