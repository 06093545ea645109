package certs

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"funlab.casa/attestation_exporter/failure"
)

// Files, endpoints and whatever hangs fail apart: what is well is shown in each
// reading, by its deadline, and what hangs holds one goroutine. In the end it is back.
func TestJoinHanging(t *testing.T) {
	p := newPKI(t)
	dir := t.TempDir()
	leaf := write(t, filepath.Join(dir, "leaf.crt"), pemOf(p.leaf))
	ca := write(t, filepath.Join(dir, "ca.crt"), pemOf(p.root))
	file, endpoint := "file leaf.crt CN=leaf", "endpoint host:1 CN=leaf"
	tests := []struct {
		name  string
		hangs string // the content of the file whose reading hangs
		want  []string
	}{
		{"files", string(pemOf(p.leaf)), []string{endpoint, "endpoint host:1 by ca.crt true"}},
		{"authorities of an endpoint", string(pemOf(p.root)), []string{file}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hang := make(chan struct{})
				hanging := func(s *Source) *Source {
					parse := s.cache.parse
					s.cache.parse = func(data []byte) contents {
						if string(data) == tt.hangs {
							<-hang
						}
						return parse(data)
					}
					return s
				}
				onDisk := hanging(newTestSource(t, Config{Files: []File{{Path: leaf}}}))
				onNetwork := hanging(newTestSource(t, Config{Endpoints: []Endpoint{{Host: "host", Port: "1", CAFile: ca}}}))
				onNetwork.prober.attempt = func(context.Context, Endpoint, *authorities) presented {
					valid := true
					facts := FactsOf(p.leaf.Certificate)
					return presented{certificate: &facts, verified: &valid}
				}
				read := Join(onDisk.Read, onNetwork.Read)
				for range 100 {
					ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
					begin := time.Now()
					got, err := read(ctx)
					took := time.Since(begin)
					cancel()
					if text := lines(got, dir); !slices.Equal(text, tt.want) || failure.Of(err) != failure.Timeout || took > 10*time.Second {
						t.Fatalf("got %q, %v after %v\nwant %q and a timeout within 10s", text, err, took, tt.want)
					}
				}
				close(hang)
				synctest.Wait()
				got, err := read(t.Context())
				if text, want := lines(got, dir), []string{endpoint, file, "endpoint host:1 by ca.crt true"}; !slices.Equal(text, want) || err != nil {
					t.Errorf("afterwards: got %q, %v\nwant %q", text, err, want)
				}
			})
		})
	}
}

// Who stops when told to still hands over what there is.
func TestJoinAfterTheDeadline(t *testing.T) {
	file := Reading{Loads: []Load{{Kind: KindFile, Name: "a"}}}
	endpoint := Reading{Loads: []Load{{Kind: KindEndpoint, Name: "b"}}}
	synctest.Test(t, func(t *testing.T) {
		joined := Join(
			func(ctx context.Context) (Reading, error) { <-ctx.Done(); return file, ctx.Err() },
			func(context.Context) (Reading, error) { return endpoint, nil })
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		got, err := joined(ctx)
		if text := fmt.Sprint(lines(got, "")); text != "[endpoint b file a]" || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %s, %v, want both and that time was over", text, err)
		}
	})
}

// A reading that waited for its turn may begin when its time is over. What is
// remembered is shown all the same, beside a source that hangs.
func TestJoinBegunTooLate(t *testing.T) {
	endpoint := Reading{Loads: []Load{{Kind: KindEndpoint, Name: "b"}}}
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		defer close(hang)
		joined := Join(
			func(context.Context) (Reading, error) { <-hang; return Reading{}, nil },
			func(context.Context) (Reading, error) { return endpoint, nil })
		ctx, cancel := context.WithTimeout(t.Context(), 0)
		defer cancel()
		for range 100 {
			begin := time.Now()
			got, err := joined(ctx)
			took := time.Since(begin)
			if text := fmt.Sprint(lines(got, "")); text != "[endpoint b]" || failure.Of(err) != failure.Timeout || took > handover {
				t.Fatalf("got %s, %v after %v, want the endpoint and a timeout within %v", text, err, took, handover)
			}
		}
	})
}

func TestJoinPanic(t *testing.T) {
	joined := Join(
		func(context.Context) (Reading, error) { panic("no") },
		func(context.Context) (Reading, error) {
			return Reading{Loads: []Load{{Kind: KindEndpoint, Name: "b"}}}, nil
		})
	got, err := joined(t.Context())
	if text := fmt.Sprint(lines(got, "")); text != "[endpoint b]" || failure.Of(err) != failure.Internal || !strings.Contains(err.Error(), "panic: no") {
		t.Errorf("got %s, %v, want the endpoint, and the panic as an error", text, err)
	}
}

// A CA file of an endpoint may be one of those that the other half reads, too.
func TestJoinTellsAFileOnce(t *testing.T) {
	seen := Load{Kind: KindFile, Name: "/ca.crt", Certificate: &Certificate{Subject: "CN=ca"}}
	closed := Load{Kind: KindFile, Name: "/ca.crt", Failed: Permission}
	other := Load{Kind: KindFile, Name: "/b.crt", Failed: Malformed}
	of := func(loads ...Load) func(context.Context) (Reading, error) {
		return func(context.Context) (Reading, error) { return Reading{Loads: loads}, nil }
	}
	for _, tt := range []struct {
		name          string
		first, second []Load
		want          []Load
	}{
		{"broken for both", []Load{closed}, []Load{closed}, []Load{closed}},
		{"closed for the second", []Load{seen, other}, []Load{closed}, []Load{other, seen}},
		{"closed for the first", []Load{closed}, []Load{seen}, []Load{seen}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Join(of(tt.first...), of(tt.second...))(t.Context())
			if err != nil || !slices.Equal(got.Loads, tt.want) {
				t.Errorf("got %+v, %v, want %+v", got.Loads, err, tt.want)
			}
		})
	}
}

func TestJoinAbsent(t *testing.T) {
	none := func(context.Context) (Reading, error) { return Reading{}, ErrAbsent }
	file := func(context.Context) (Reading, error) {
		return Reading{Loads: []Load{{Kind: KindFile, Name: "b"}}}, nil
	}
	endpoint := func(context.Context) (Reading, error) {
		return Reading{Loads: []Load{{Kind: KindEndpoint, Name: "c"}}}, nil
	}
	tests := []struct {
		name          string
		first, second func(context.Context) (Reading, error)
		want          string
		absent        bool
	}{
		{"both", file, endpoint, "[endpoint c file b]", false},
		{"first", file, none, "[file b]", false},
		{"second", none, endpoint, "[endpoint c]", false},
		{"none", none, none, "[]", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Join(tt.first, tt.second)(t.Context())
			if text := fmt.Sprint(lines(got, "")); text != tt.want || errors.Is(err, ErrAbsent) != tt.absent || err != nil && !tt.absent {
				t.Errorf("got %s, %v, want %s", text, err, tt.want)
			}
		})
	}
}
