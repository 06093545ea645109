package reader_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"funlab.casa/attestation_exporter/certs"
	"funlab.casa/attestation_exporter/reader"
	"funlab.casa/attestation_exporter/spire"
)

// BenchmarkAnswer sends the two largest answers that the budgets name through the
// socket: what the way by the reader adds to the reading itself.
func BenchmarkAnswer(b *testing.B) {
	now := time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)
	var server spire.ServerReading
	for i := range 10_000 {
		id := fmt.Sprintf("%08x-f2f1-4a97-9ef7-75bd81c00000", i)
		server.Agents = append(server.Agents, spire.ServerAgent{
			Identity: spire.Identity{ID: "spiffe://funlab.casa/spire/agent/keylime/" + id, TrustDomain: "funlab.casa", AttestationType: "keylime", KeylimeAgent: id},
			NotAfter: now, CanReattest: true,
		})
	}
	b.Run("10000agents", func(b *testing.B) { benchmarkAnswer(b, server) })
	var files certs.Reading
	for i := range 1_000 {
		files.Loads = append(files.Loads, certs.Load{
			Kind: certs.KindFile, Name: fmt.Sprintf("/etc/service/certs/host-%04d.example.org.crt", i),
			Certificate: &certs.Certificate{NotBefore: now, NotAfter: now, Subject: fmt.Sprintf("CN=host-%04d.example.org,O=Example", i), Issuer: "CN=Intermediate,O=Example"},
		})
	}
	b.Run("1000files", func(b *testing.B) { benchmarkAnswer(b, files) })
}

func benchmarkAnswer[R any](b *testing.B, reading R) {
	content, err := json.Marshal(reading)
	if err != nil {
		b.Fatal(err)
	}
	c := serve(b, one(func(context.Context) (R, error) { return reading, nil }))
	ask := reader.Ask[R](c, "q", errAbsent)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ask(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(content)), "bytes/answer")
}
