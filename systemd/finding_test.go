package systemd

import (
	"errors"
	"path/filepath"
	"slices"
	"testing"

	"funlab.casa/attestation_exporter/finding"
)

func TestFindings(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct {
		name, environment, booted string
		options                   Options
		want                      []finding.Finding
		wantErr                   error
	}{
		{"by the environment", "unix:abstract=bus;unix:path=/bus", "", Options{}, []finding.Finding{
			finding.Named("bus", "@bus", busVariable),
			finding.At("bus", "/bus", busVariable),
			finding.Named("include", DefaultInclude, finding.Default),
		}, nil},
		{"by flags", "", dir, Options{Include: "a", Expected: []string{"b.timer"}}, []finding.Finding{
			finding.At("bus", "/run/dbus/system_bus_socket", finding.Default),
			finding.Named("include", "a", finding.Flag),
			finding.Named("expected", "b.timer", finding.Flag),
		}, nil},
		{"no systemd", "", filepath.Join(dir, "none"), Options{}, nil, ErrAbsent},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv(busVariable, tt.environment)
			r, err := New(tt.options)
			if err != nil {
				t.Fatal(err)
			}
			r.booted = tt.booted
			got, err := r.Findings(t.Context())
			if !errors.Is(err, tt.wantErr) || !slices.Equal(got, tt.want) {
				t.Errorf("got %+v, %v, want %+v, %v", got, err, tt.want, tt.wantErr)
			}
		})
	}
}
