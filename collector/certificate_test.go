package collector

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/expfmt"

	"funlab.casa/attestation_exporter/certs"
)

// A certificateScrape is one run of a collector, for a registry.
type certificateScrape struct {
	Collector
	err error
}

func (s *certificateScrape) Describe(chan<- *prometheus.Desc) {}

func (s *certificateScrape) Collect(ch chan<- prometheus.Metric) {
	s.err = s.Update(context.Background(), ch)
}

// certificateCompare compares what c exposes with a golden file, and returns the
// error of its run.
func certificateCompare(t *testing.T, c Collector, golden string) error {
	t.Helper()
	scrape := &certificateScrape{Collector: c}
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(scrape)
	if *update {
		certificateWrite(t, registry, golden)
	}
	expected, err := os.Open(golden)
	if err != nil {
		t.Fatal(err)
	}
	defer expected.Close()
	if err := testutil.GatherAndCompare(registry, expected); err != nil {
		t.Error(err)
	}
	problems, err := testutil.GatherAndLint(registry)
	if err != nil || len(problems) > 0 {
		t.Errorf("lint: got %v, %v, want nothing", problems, err)
	}
	return scrape.err
}

func certificateWrite(t *testing.T, registry prometheus.Gatherer, golden string) {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(golden)
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if _, err := expfmt.MetricFamilyToText(f, family); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestCertificate(t *testing.T) {
	hour := func(n int64) time.Time { return time.Unix(1_800_000_000+n*3600, 0) }
	leaf := &certs.Certificate{NotBefore: hour(0), NotAfter: hour(24), Subject: "CN=agent", Issuer: "CN=intermediate"}
	forever := &certs.Certificate{NotBefore: hour(0), NotAfter: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), Subject: "CN=devid"}
	failed := errors.New("list \"/etc/*\": too many files match")
	tests := []struct {
		name    string
		reading certs.Reading
		err     error
		want    error
	}{
		{"healthy", certs.Reading{
			Loads: []certs.Load{
				{Kind: certs.KindEndpoint, Name: "ca.example:9000", Certificate: leaf},
				{Kind: certs.KindFile, Name: "/etc/keylime/certs/agent.crt", Certificate: leaf},
				{Kind: certs.KindFile, Name: "/var/lib/tpm2-devid/devid.crt", Certificate: forever},
			},
			Verdicts: []certs.Verdict{
				{Kind: certs.KindFile, Name: "/etc/keylime/certs/agent.crt", Authority: "/etc/keylime/certs/ca-root-only.crt", Valid: true},
				{Kind: certs.KindFile, Name: "/etc/keylime/certs/agent.crt", Authority: "/etc/ssl/other.crt", Valid: false},
				{Kind: certs.KindEndpoint, Name: "ca.example:9000", Authority: certs.AuthoritySystem, Valid: true},
			},
		}, nil, nil},
		{"broken", certs.Reading{Loads: []certs.Load{
			{Kind: certs.KindEndpoint, Name: "ca.example:9000", Failed: certs.Timeout},
			{Kind: certs.KindFile, Name: "/etc/keylime/certs/agent.crt", Certificate: leaf, Failed: certs.Malformed},
			{Kind: certs.KindFile, Name: "/etc/keylime/certs/verifier.crt", Failed: certs.Permission},
			{Kind: certs.KindFile, Name: "/etc/\xff.crt", Failed: certs.NotFound},
		}}, nil, nil},
		{"partial", certs.Reading{Loads: []certs.Load{
			{Kind: certs.KindFile, Name: "/etc/keylime/certs/agent.crt", Certificate: leaf},
		}}, failed, failed},
		{"too_slow", certs.Reading{}, context.DeadlineExceeded, context.DeadlineExceeded},
		{"absent", certs.Reading{}, certs.ErrAbsent, ErrNoData},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := NewCertificate(func(context.Context) (certs.Reading, error) { return tt.reading, tt.err })
			err := certificateCompare(t, c, filepath.Join("..", "testdata", "certs", "exposed_"+tt.name+".prom"))
			if !errors.Is(err, tt.want) {
				t.Errorf("Update: got error %v, want %v", err, tt.want)
			}
		})
	}
}

// certificateFiles writes n files with a certificate each, and returns a pattern.
func certificateFiles(b *testing.B, n int) string {
	b.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "leaf"},
		NotBefore:    time.Now(),
		NotAfter:     time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for i := range n {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d.crt", i)), text, 0o600); err != nil {
			b.Fatal(err)
		}
	}
	return filepath.Join(dir, "*.crt")
}

// The whole of a scrape but the text, with files that are only looked at.
func BenchmarkCertificateUnchanged1000(b *testing.B) {
	pattern := certificateFiles(b, 1000)
	source, err := certs.NewSource(slog.New(slog.DiscardHandler), certs.Config{Files: []certs.File{{Path: pattern}}})
	if err != nil {
		b.Fatal(err)
	}
	set := NewSet(slog.New(slog.DiscardHandler), map[string]Collector{"certificate": NewCertificate(source.Read)})
	// Files are trusted two seconds after they were written.
	for begin := time.Now(); time.Since(begin) < 3*time.Second; {
		set.Collect(b.Context())
	}
	for b.Loop() {
		if got := len(set.Collect(b.Context())); got < 3000 {
			b.Fatalf("got %d series, want 3000 and those of the run", got)
		}
	}
}
