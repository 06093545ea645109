package collector

import (
	"context"
	"errors"
	"testing"

	"funlab.casa/attestation_exporter/reader"
)

func TestReader(t *testing.T) {
	broken := errors.New("broken")
	for _, tt := range []struct {
		name      string
		err, want error
	}{
		{"answers", nil, nil},
		{"fails", broken, broken},
		{"not on this host", reader.ErrAbsent, ErrNoData},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := NewReader(func(context.Context) error { return tt.err })
			if err := c.Update(t.Context(), nil); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}
