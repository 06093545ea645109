package collector

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"funlab.casa/attestation_exporter/certs"
)

const trustBundleTestdata = "../testdata/bundles"

// trustBundleRecorded reads a bundle that SPIRE really had, and puts the moment
// and the place of the recording in.
func trustBundleRecorded(t *testing.T, file, at string) certs.BundleReading {
	t.Helper()
	path := filepath.Join(trustBundleTestdata, file)
	source, err := certs.NewBundleSource(slog.New(slog.DiscardHandler), []certs.File{{Path: path}})
	if err != nil {
		t.Fatal(err)
	}
	reading, err := source.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if reading.At, err = time.Parse(time.RFC3339, at); err != nil {
		t.Fatal(err)
	}
	reading.Bundles[0].Name = "/etc/spire/" + file
	reading.Bundles[0].Modified = reading.At.Add(-time.Minute)
	return reading
}

func TestTrustBundle(t *testing.T) {
	hour := func(n int64) time.Time { return time.Unix(1_800_000_000+n*3600, 0) }
	authority := func(from, to int64) certs.Authority {
		return certs.Authority{Certificate: certs.Certificate{NotBefore: hour(from), NotAfter: hour(to)}}
	}
	one := func(b certs.Bundle) certs.BundleReading {
		b.Name, b.Modified = "/etc/spire/trust-bundle.pem", hour(-1)
		return certs.BundleReading{At: hour(0), Bundles: []certs.Bundle{b}}
	}
	tests := []struct {
		name    string
		reading certs.BundleReading
		err     error
		want    error
	}{
		{"rotation", trustBundleRecorded(t, "rotation_4_two_expired_active_prepared.spiffe.json", "2026-11-23T18:36:28Z"), nil, nil},
		{"all_expired", trustBundleRecorded(t, "rotation_1_active_prepared.pem", "2026-11-24T00:00:00Z"), nil, nil},
		{"upstream_authority", trustBundleRecorded(t, "upstream_authority.pem", "2026-11-23T18:44:34Z"), nil, nil},
		{"partly_malformed", one(certs.Bundle{TrustDomain: "funlab.casa", Authorities: []certs.Authority{authority(-2, 22), authority(1, 25)}, Malformed: 1}), nil, nil},
		{"unreadable", certs.BundleReading{At: hour(0), Bundles: []certs.Bundle{
			{Name: "/etc/spire/trust-bundle.pem", Failed: certs.NotFound},
			{Name: "/etc/spire/half.pem", Modified: hour(-1), Malformed: 1, Failed: certs.Malformed},
		}}, nil, nil},
		{"too_slow", certs.BundleReading{}, context.DeadlineExceeded, context.DeadlineExceeded},
		{"absent", certs.BundleReading{}, certs.ErrAbsent, ErrNoData},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := NewTrustBundle(func(context.Context) (certs.BundleReading, error) { return tt.reading, tt.err })
			err := certificateCompare(t, c, filepath.Join(trustBundleTestdata, "exposed_"+tt.name+".prom"))
			if !errors.Is(err, tt.want) {
				t.Errorf("Update: got error %v, want %v", err, tt.want)
			}
		})
	}
}
