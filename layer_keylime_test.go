package main

import (
	"context"
	"errors"
	"slices"
	"testing"

	"funlab.casa/attestation_exporter/finding"
	"funlab.casa/attestation_exporter/keylime"
)

func TestOverruled(t *testing.T) {
	configured := finding.Named("url", "https://configured:1", "verifier.conf:1")
	config := finding.Named("config", "verifier.conf", finding.Default)
	flagged := finding.Named("url", "https://flagged:1", finding.Flag)
	notGiven := finding.Named("url", "", finding.Flag)
	identity := finding.Finding{What: "http-config", From: finding.Default, State: finding.Absent}
	denied := errors.New("permission denied")
	tests := []struct {
		name    string
		found   []finding.Finding
		err     error
		url     finding.Finding
		want    []finding.Finding
		wantErr error
	}{
		{"the configuration's", []finding.Finding{config, configured}, nil, notGiven, []finding.Finding{config, configured, identity}, nil},
		{"the flag's", []finding.Finding{config, configured}, nil, flagged, []finding.Finding{config, flagged, identity}, nil},
		{"no Keylime", nil, keylime.ErrAbsent, notGiven, nil, keylime.ErrAbsent},
		{"Keylime elsewhere", nil, keylime.ErrAbsent, flagged, []finding.Finding{flagged, identity}, nil},
		{"a closed configuration", []finding.Finding{config}, denied, flagged, []finding.Finding{config, flagged, identity}, denied},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			found := func(context.Context) ([]finding.Finding, error) { return slices.Clone(tt.found), tt.err }
			got, err := overruled(found, tt.url, identity)(t.Context())
			if !errors.Is(err, tt.wantErr) || !slices.Equal(got, tt.want) {
				t.Errorf("got %+v, %v, want %+v, %v", got, err, tt.want, tt.wantErr)
			}
		})
	}
}
