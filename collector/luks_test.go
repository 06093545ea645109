package collector

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"funlab.casa/attestation_exporter/luks"
	"funlab.casa/attestation_exporter/tpm"
)

func luksStandsOn(indices ...int) []luks.PCR {
	var pcrs []luks.PCR
	for _, index := range indices {
		pcrs = append(pcrs, luks.PCR{Bank: tpm.SHA256, Index: index})
	}
	return pcrs
}

// luksHealthy has each kind of binding, and each kind of device.
func luksHealthy() luks.Reading {
	return luks.Reading{Devices: []luks.Device{
		{
			Path: "/dev/nvme0n1p3", Format: luks.LUKS2, Readable: true,
			Keyslots: luks.Keyslots{TPM: 5, Other: 1},
			Bindings: []luks.Binding{
				{Token: "0", Type: luks.Clevis, Bank: "sha256", PCRs: "0,2,4,7", Verdict: luks.Satisfied, StandsOn: luksStandsOn(0, 2, 4, 7)},
				{Token: "1", Type: luks.Systemd, Bank: "sha256", PCRs: "7", Verdict: luks.Unsatisfied, StandsOn: luksStandsOn(7)},
				{Token: "2", Type: luks.Systemd, Verdict: luks.Unforetellable},
				{Token: "3", Type: luks.Clevis, Verdict: luks.Satisfied},
				{Token: "4", Type: luks.Clevis, Bank: "sha256", PCRs: "7;0,2", Verdict: luks.Satisfied},
			},
		},
		{Path: "/dev/mapper/swap", Format: luks.Plain},
		{Path: "/dev/sdb1", Format: luks.LUKS1, Readable: true},
		{Path: "/dev/nvme0n1p3", Format: luks.LUKS2, Readable: true},
	}}
}

func TestLUKS(t *testing.T) {
	broken := errors.New("/dev/nvme0n1p3: permission denied")
	for _, test := range []struct {
		name    string
		reading luks.Reading
		err     error
		want    error
	}{
		{"healthy", luksHealthy(), nil, nil},
		{"no_bindings", luks.Reading{Devices: []luks.Device{
			{Path: "/dev/vda2", Format: luks.LUKS2, Readable: true, Keyslots: luks.Keyslots{Other: 1}},
		}}, nil, nil},
		{"unreadable", luks.Reading{Devices: []luks.Device{{Path: "/dev/nvme0n1p3", Format: luks.Unknown}}}, broken, broken},
		{"tpm_silent", luks.Reading{Devices: []luks.Device{{
			Path: "/dev/nvme0n1p3", Format: luks.LUKS2, Readable: true, Keyslots: luks.Keyslots{TPM: 1},
			Bindings: []luks.Binding{{Token: "0", Type: luks.Clevis, Bank: "sha256", PCRs: "7", Verdict: luks.Unread, StandsOn: luksStandsOn(7)}},
		}}}, broken, broken},
		{"empty", luks.Reading{}, nil, nil},
		{"too_slow", luks.Reading{}, context.DeadlineExceeded, context.DeadlineExceeded},
		{"absent", luks.Reading{}, luks.ErrAbsent, ErrNoData},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := NewLUKS(func(context.Context) (luks.Reading, error) { return test.reading, test.err })
			err := certificateCompare(t, c, filepath.Join("..", "testdata", "luks", "exposed_"+test.name+".prom"))
			if !errors.Is(err, test.want) {
				t.Errorf("got error %v, want %v", err, test.want)
			}
		})
	}
}
