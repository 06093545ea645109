// Package replay evaluates the rule pack at simulated moments, in Prometheus' own
// rule engine over Prometheus' own storage. It knows nothing of what the series
// mean: package fleet makes them.
package replay

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
)

const (
	chunkRange = 2 * time.Hour
	// The rules look back a day, by offset, and a little for the sample itself.
	kept = 25 * time.Hour
)

// A Store is the head of a TSDB, without a log and without blocks: what is older
// than any rule looks is dropped, so that a year needs no more room than a day.
type Store struct {
	head    *tsdb.Head
	trimmed time.Time
}

// NewStore keeps its full chunks below folder.
func NewStore(folder string) (*Store, error) {
	options := tsdb.DefaultHeadOptions()
	options.ChunkRange = chunkRange.Milliseconds()
	options.ChunkDirRoot = folder
	options.IsolationDisabled = true
	head, err := tsdb.NewHead(nil, nil, nil, nil, options, nil)
	if err != nil {
		return nil, fmt.Errorf("open storage: %w", err)
	}
	if err := head.Init(math.MinInt64); err != nil {
		return nil, fmt.Errorf("open storage: %w", err)
	}
	return &Store{head: head}, nil
}

// Close releases the files of the store.
func (s *Store) Close() error { return s.head.Close() }

// Querier reads the samples from mint to maxt, in milliseconds.
func (s *Store) Querier(mint, maxt int64) (storage.Querier, error) {
	return tsdb.NewBlockQuerier(tsdb.NewRangeHeadWithIsolationDisabled(s.head, mint, maxt), mint, maxt)
}

// AppenderV2 writes; nothing is seen before its Commit.
func (s *Store) AppenderV2(ctx context.Context) storage.AppenderV2 { return s.head.AppenderV2(ctx) }

// Series is the number of series that are held.
func (s *Store) Series() uint64 { return s.head.NumSeries() }

// Trim drops what no rule looks back to.
func (s *Store) Trim(now time.Time) error {
	if now.Sub(s.trimmed) < chunkRange {
		return nil
	}
	s.trimmed = now
	if err := s.head.Truncate(now.Add(-kept).UnixMilli()); err != nil {
		return fmt.Errorf("drop old samples: %w", err)
	}
	return nil
}

// A Target is one scraped exporter. Set is called for each sample of a scrape, and
// then Scraped or Missed, which write them as a scrape of Prometheus does: what
// was there and isn't any more gets a staleness marker.
type Target struct {
	instance string
	// Labels that every series of the target has, in pairs.
	labels []string
	series map[string]*sample
	key    []byte
	scrape int
}

type sample struct {
	labels labels.Labels
	ref    storage.SeriesRef
	value  float64
	// The scrape that showed it last, and whether a marker ended it since.
	scrape int
	stale  bool
}

// NewTarget is the instance of a scrape job, with more labels in pairs where
// several Prometheis have it.
func NewTarget(job, instance string, pairs ...string) *Target {
	pairs = append([]string{"job", job, "instance", instance}, pairs...)
	return &Target{instance: instance, labels: pairs, series: map[string]*sample{}, scrape: 1}
}

// Set gives one series, by name and pairs of label and value, its value in the
// scrape that is going on.
func (t *Target) Set(value float64, name string, pairs ...string) {
	t.key = append(t.key[:0], name...)
	for _, pair := range pairs {
		t.key = append(append(t.key, 0xff), pair...)
	}
	s, ok := t.series[string(t.key)]
	if !ok {
		all := append([]string{model.MetricNameLabel, name}, t.labels...)
		s = &sample{labels: labels.FromStrings(append(all, pairs...)...)}
		t.series[string(t.key)] = s
	}
	s.value, s.scrape, s.stale = value, t.scrape, false
}

// Scraped writes what was set, at the moment of the scrape.
func (t *Target) Scraped(ctx context.Context, store *Store, at time.Time) error {
	t.Set(1, "up")
	return t.write(ctx, store, at)
}

// Missed writes a scrape that failed: whatever was set is not seen.
func (t *Target) Missed(ctx context.Context, store *Store, at time.Time) error {
	t.scrape++
	t.Set(0, "up")
	return t.write(ctx, store, at)
}

// Removed writes the end of every series, as Prometheus does when its configuration
// no longer has the target.
func (t *Target) Removed(ctx context.Context, store *Store, at time.Time) error {
	t.scrape++
	return t.write(ctx, store, at)
}

func (t *Target) write(ctx context.Context, store *Store, at time.Time) error {
	appender := store.AppenderV2(ctx)
	for _, s := range t.series {
		v := s.value
		if s.scrape != t.scrape {
			if s.stale {
				continue
			}
			v, s.stale = math.Float64frombits(value.StaleNaN), true
		}
		ref, err := appender.Append(s.ref, s.labels, 0, at.UnixMilli(), v, nil, nil, storage.AppendV2Options{})
		if err != nil {
			return fmt.Errorf("write %s: %w", s.labels, err)
		}
		s.ref = ref
	}
	t.scrape++
	if err := appender.Commit(); err != nil {
		return fmt.Errorf("write a scrape of %s: %w", t.instance, err)
	}
	return nil
}
