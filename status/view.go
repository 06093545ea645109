package status

import (
	"cmp"
	"fmt"
)

// A view is one exporter's samples at one moment, with what the others say about
// the same things.
type view struct {
	host    string
	answer  Answer
	samples Samples
	now     float64
	fleet   fleet
}

func (v view) rows() []Row {
	if v.answer.Err != nil {
		return []Row{v.noAnswer()}
	}
	var rows []Row
	for _, layer := range []func() []Row{
		v.monitoring, v.tpm, v.boot, v.disks,
		v.keylimeLocal, v.keylimeVerifiers, v.keylimeRegistrar,
		v.spireAgent, v.spireServer, v.spireAgents, v.spireAuthorities, v.spirePlugins,
		v.bundles, v.certificates, v.timers,
	} {
		rows = append(rows, layer()...)
	}
	return rows
}

// fine makes a row that needs nobody.
func (v view) fine(layer Layer, what, format string, args ...any) Row {
	return Row{Host: v.host, Layer: layer, What: what, Text: fmt.Sprintf(format, args...)}
}

// wrong makes a row for the person on call.
func (v view) wrong(a alert, layer Layer, what, format string, args ...any) Row {
	row := v.fine(layer, what, format, args...)
	row.State, row.Alert = a.severity(), string(a)
	return row
}

// at moves a row to the host that it is about, where that is known.
func (r Row) at(host string) Row {
	r.Host = cmp.Or(host, r.Host)
	return r
}

// standing makes a row the one that is told of its layer.
func (r Row) standing() Row {
	r.headline = true
	return r
}

// ending gives a row the time that is left and, where its whole life is known, the
// share of that.
func (r Row) ending(remaining, lifetime float64) Row {
	r.Remaining = &remaining
	if lifetime > 0 {
		share := remaining / lifetime
		r.LifeLeft = &share
	}
	return r
}
