//go:build conformance

package guest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// page is what one scrape got.
type page struct {
	err    error
	took   time.Duration
	series map[string]float64 // by name and labels, as they stand on the page
}

// scrape asks the exporter as a scraper with this timeout does, and waits no longer.
func scrape(timeout time.Duration) page {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:10247/metrics", http.NoBody)
	if err != nil {
		return page{err: err}
	}
	request.Close = true
	request.Header.Set("X-Prometheus-Scrape-Timeout-Seconds", strconv.FormatFloat(timeout.Seconds(), 'f', -1, 64))
	begin := time.Now()
	answer, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		return page{err: err}
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = errors.New(answer.Status)
	}
	return page{err: err, took: time.Since(begin), series: seriesOf(string(text))}
}

// seriesOf is the page as a map. What isn't a sample isn't in it.
func seriesOf(text string) map[string]float64 {
	series := map[string]float64{}
	for line := range strings.Lines(text) {
		i := strings.LastIndexByte(line, ' ')
		if i < 0 || strings.HasPrefix(line, "#") {
			continue
		}
		if value, err := strconv.ParseFloat(strings.TrimSpace(line[i:]), 64); err == nil {
			series[line[:i]] = value
		}
	}
	return series
}

// atOnce scrapes by n scrapers side by side.
func atOnce(n int, timeout time.Duration) []page {
	pages := make([]page, n)
	var wg sync.WaitGroup
	for i := range pages {
		wg.Go(func() { pages[i] = scrape(timeout) })
	}
	wg.Wait()
	return pages
}

// failed is an error unless the page was served and just these collectors failed.
func (p page) failed(want ...string) error {
	if p.err != nil {
		return p.err
	}
	var got []string
	for series, value := range p.series {
		if name, ok := strings.CutPrefix(series, `attestation_scrape_collector_success{collector="`); ok && value == 0 {
			got = append(got, strings.TrimSuffix(name, `"}`))
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		return fmt.Errorf("got the collectors %q failing after %v, want %q", got, p.took, want)
	}
	return nil
}

// has is an error unless each of the series is on the page.
func (p page) has(series ...string) error {
	for _, want := range series {
		if _, ok := p.series[want]; !ok {
			return fmt.Errorf("got a page without %s", want)
		}
	}
	return nil
}

// hasNot is an error where one of the series is on the page.
func (p page) hasNot(series ...string) error {
	for _, unwanted := range series {
		if value, ok := p.series[unwanted]; ok {
			return fmt.Errorf("got %s %v, want none", unwanted, value)
		}
	}
	return nil
}
