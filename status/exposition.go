package status

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"unicode"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// How long an exposition may be: several times what 10,000 agents make.
const (
	maxBytes = 64 << 20
	maxLines = 500_000
)

var errTooLong = fmt.Errorf("the exposition is longer than %d lines or %d bytes", maxLines, maxBytes)

// A bounded reader fails when more than the bytes and lines that are left were
// read. Lines count because a short one costs as much memory as a long one.
type bounded struct {
	from         io.Reader
	bytes, lines int
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.from.Read(p)
	b.bytes -= n
	b.lines -= bytes.Count(p[:n], []byte{'\n'})
	if b.bytes < 0 || b.lines < 0 {
		return 0, errTooLong
	}
	return n, err
}

// Samples are the series of one exposition, by the name of their metric.
type Samples map[string][]sample

type sample struct {
	metric model.Metric
	value  float64
}

func (s sample) label(name model.LabelName) string { return string(s.metric[name]) }

// Parse reads an exposition in the text format and keeps the exporter's own
// series. Whoever wrote it isn't trusted: nothing that Parse returns holds a control
// character, so that what comes after may print it. A value that isn't a finite
// number is no reading, and is left out.
func Parse(r io.Reader) (Samples, error) {
	decoder := expfmt.SampleDecoder{
		Dec:  expfmt.NewDecoder(&bounded{from: r, bytes: maxBytes, lines: maxLines}, expfmt.NewFormat(expfmt.TypeTextPlain)),
		Opts: &expfmt.DecodeOptions{},
	}
	samples := Samples{}
	for {
		var family model.Vector
		err := decoder.Decode(&family)
		if errors.Is(err, io.EOF) {
			return samples, nil
		}
		if err != nil {
			return nil, fmt.Errorf("parse exposition: %w", harmless(err))
		}
		samples.add(family)
	}
}

func (s Samples) add(family model.Vector) {
	for _, one := range family {
		name := string(one.Metric[model.MetricNameLabel])
		value := float64(one.Value)
		if !strings.HasPrefix(name, "attestation_") || math.IsNaN(value) || math.IsInf(value, 0) {
			continue
		}
		for label, text := range one.Metric {
			one.Metric[label] = model.LabelValue(printable(string(text)))
		}
		s[name] = append(s[name], sample{metric: one.Metric, value: value})
	}
}

// only returns the samples of a metric whose labels are as given, in pairs.
func (s Samples) only(name string, pairs ...string) []sample {
	var found []sample
	for _, one := range s[name] {
		if matches(one, pairs) {
			found = append(found, one)
		}
	}
	return found
}

// value returns the first sample of a metric whose labels are as given, in pairs.
func (s Samples) value(name string, pairs ...string) (float64, bool) {
	for _, one := range s[name] {
		if matches(one, pairs) {
			return one.value, true
		}
	}
	return 0, false
}

func matches(one sample, pairs []string) bool {
	for i := 0; i+1 < len(pairs); i += 2 {
		if one.label(model.LabelName(pairs[i])) != pairs[i+1] {
			return false
		}
	}
	return true
}

// is reports whether the metric is there and has just this value.
func (s Samples) is(want float64, name string, pairs ...string) bool {
	value, ok := s.value(name, pairs...)
	return ok && value == want
}

// by returns the values of a metric by one of its labels.
func (s Samples) by(label model.LabelName, name string) map[string]float64 {
	values := make(map[string]float64, len(s[name]))
	for _, one := range s[name] {
		values[one.label(label)] = one.value
	}
	return values
}

// maxText is how many characters of a foreign text are shown.
const maxText = 400

// printable replaces what could move a terminal's cursor, turn the direction of
// writing, or end a plugin's text, and cuts off what is too long.
func printable(text string) string {
	var kept strings.Builder
	n := 0
	for _, r := range text {
		if n++; n > maxText {
			kept.WriteRune('…')
			break
		}
		switch {
		case r == '|': // Performance data begin here, for a plugin's reader.
			kept.WriteRune('¦')
		case unicode.IsPrint(r):
			kept.WriteRune(r)
		default:
			kept.WriteRune(unicode.ReplacementChar)
		}
	}
	return kept.String()
}

// harmless makes the text of an error printable. It keeps no chain: whoever asks
// what an error is asks before.
func harmless(err error) error { return errors.New(printable(err.Error())) }
