package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"html"
	"net/http"
	"os"
	"time"

	"github.com/prometheus/common/version"
	"github.com/prometheus/exporter-toolkit/web"

	"funlab.casa/attestation_exporter/status"
)

// landing shows this host's state. It is made from what metrics answers at that
// moment: one scrape, under all limits of a scrape, so that page and metrics can't
// disagree and nobody reads more by the one than by the other.
func landing(path string, metrics http.Handler) (http.Handler, error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("name this host: %w", err)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, code := landingBody(r, host, path, metrics)
		page, err := web.NewLandingPage(web.LandingConfig{
			Name:        name,
			Description: host,
			Version:     version.Info(),
			Profiling:   "false",
			ExtraHTML:   body,
			ExtraCSS:    status.PageCSS,
			Links: []web.LandingLinks{
				{Address: path, Text: "Metrics"},
				{Address: "/-/healthy", Text: "Healthy"},
				{Address: "/-/ready", Text: "Ready"},
			},
		})
		if err != nil {
			http.Error(w, "the landing page can't be made", http.StatusInternalServerError)
			return
		}
		// It is true for a moment only, and needs nothing from elsewhere.
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Content-Type", "text/html; charset=UTF-8")
		w.WriteHeader(code)
		page.ServeHTTP(w, r)
	}), nil
}

// landingBody returns the state as HTML, or why there is none, with the HTTP status
// that this means.
func landingBody(r *http.Request, host, path string, metrics http.Handler) (string, int) {
	scrape, err := scrapeWithin(r, path, metrics)
	if err != nil {
		return "<p>The state can't be shown: " + html.EscapeString(err.Error()) + "</p>", http.StatusInternalServerError
	}
	if scrape.code != http.StatusOK {
		return "<p>The state can't be shown: " + html.EscapeString(scrape.body.String()) + "</p>", scrape.code
	}
	samples, err := status.Parse(&scrape.body)
	answer := status.Answer{Host: host, Samples: samples, Err: err}
	body, err := status.Judge([]status.Answer{answer}, unixSeconds(time.Now())).Page()
	if err != nil {
		return "<p>The state can't be shown.</p>", http.StatusInternalServerError
	}
	return body, http.StatusOK
}

// scrapeWithin asks metrics as a scraper would, for as long as r lasts.
func scrapeWithin(r *http.Request, path string, metrics http.Handler) (*recorder, error) {
	request, err := http.NewRequestWithContext(r.Context(), http.MethodGet, path, http.NoBody)
	if err != nil {
		return nil, err
	}
	answer := &recorder{header: http.Header{}}
	metrics.ServeHTTP(answer, request)
	answer.code = cmp.Or(answer.code, http.StatusOK)
	return answer, nil
}

// maxScrape bounds the exposition that a page is made from.
const maxScrape = 64 << 20

// A recorder keeps an answer instead of sending it.
type recorder struct {
	header http.Header
	code   int
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header { return r.header }

func (r *recorder) WriteHeader(code int) { r.code = cmp.Or(r.code, code) }

func (r *recorder) Write(p []byte) (int, error) {
	if r.body.Len()+len(p) > maxScrape {
		return 0, errors.New("the exposition is too long for a page")
	}
	return r.body.Write(p)
}
