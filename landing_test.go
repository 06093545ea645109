package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func landingOf(t *testing.T, metrics http.HandlerFunc) *httptest.ResponseRecorder {
	t.Helper()
	page, err := landing("/metrics", metrics)
	if err != nil {
		t.Fatal(err)
	}
	answer := httptest.NewRecorder()
	page.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody))
	return answer
}

// The page costs one scrape, and says what that said.
func TestLandingIsOneScrape(t *testing.T) {
	scrapes := 0
	answer := landingOf(t, func(w http.ResponseWriter, r *http.Request) {
		if scrapes++; r.Method != http.MethodGet || r.URL.Path != "/metrics" {
			t.Errorf("got %s %s, want a scrape", r.Method, r.URL)
		}
		fmt.Fprint(w, "attestation_scrape_collector_success{collector=\"tpm\"} 1\nattestation_tpm_locked_out 1\nattestation_certificate_load_failed{kind=\"file\",name=\"<script>\",reason=\"r\"} 1\n")
	})
	if scrapes != 1 || answer.Code != http.StatusOK {
		t.Errorf("got %d after %d scrapes, want 200 after one", answer.Code, scrapes)
	}
	body := answer.Body.String()
	for _, want := range []string{`<p class="verdict CRITICAL">`, "TPMLockedOut", "&lt;script&gt;", `<a href="/metrics">Metrics</a>`} {
		if !strings.Contains(body, want) {
			t.Errorf("page lacks %s:\n%s", want, body)
		}
	}
	for _, unwanted := range []string{"<script", "src=", "http://", "https://", "@import", "url("} {
		if strings.Contains(body, unwanted) {
			t.Errorf("page has %s:\n%s", unwanted, body)
		}
	}
	if got := answer.Header().Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control: got %q, want no-store", got)
	}
	if got := answer.Header().Get("Content-Security-Policy"); !strings.HasPrefix(got, "default-src 'none'; ") {
		t.Errorf("Content-Security-Policy: got %q, want nothing from elsewhere", got)
	}
}

func TestLandingWithoutScrape(t *testing.T) {
	tests := []struct {
		name    string
		metrics http.HandlerFunc
		code    int
		says    string
	}{
		{"too many at once", func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "at most 2 scrapes at once", http.StatusServiceUnavailable)
		}, http.StatusServiceUnavailable, "at most 2 scrapes at once"},
		{"broken", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<b>") }, http.StatusOK, "UNKNOWN"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			answer := landingOf(t, tt.metrics)
			if answer.Code != tt.code || !strings.Contains(answer.Body.String(), tt.says) {
				t.Errorf("got %d:\n%s\nwant %d and %q", answer.Code, answer.Body, tt.code, tt.says)
			}
		})
	}
}
