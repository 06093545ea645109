package status

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"
)

func TestTargets(t *testing.T) {
	tests := []struct {
		name string
		urls []string
		want string // hosts and URLs, or the error
	}{
		{"a host", []string{"https://spire.funlab.casa:10247/metrics"}, "spire.funlab.casa https://spire.funlab.casa:10247/metrics"},
		{"without a path", []string{"http://spire:10247"}, "spire http://spire:10247/metrics"},
		{"another path", []string{"http://spire:10247/x?collect[]=tpm"}, "spire http://spire:10247/x?collect[]=tpm"},
		{"two of one name", []string{"http://[::1]:1", "http://[::1]:2"}, "[::1]:1 http://[::1]:1/metrics [::1]:2 http://[::1]:2/metrics"},
		{"no URL", []string{"spire:10247"}, `"spire:10247" isn't a URL such as https://host.example.org:10247/metrics`},
		{"no host", []string{"http:///metrics"}, `"http:///metrics" isn't a URL such as https://host.example.org:10247/metrics`},
		{"another protocol", []string{"file:///etc/passwd"}, `"file:///etc/passwd" isn't a URL such as https://host.example.org:10247/metrics`},
		{"a password", []string{"http://u:p@spire"}, "a URL with a password in it is seen by every user of this machine: use --http-config"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			targets, err := Targets(tt.urls)
			var got []string
			for _, target := range targets {
				got = append(got, target.Host, target.URL.String())
			}
			if err != nil {
				got = append(got, err.Error())
			}
			if strings.Join(got, " ") != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestAsk(t *testing.T) {
	exposition, err := os.ReadFile("../testdata/status/agent.prom")
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/metrics", func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("X-Prometheus-Scrape-Timeout-Seconds"); got != "5" {
			t.Errorf("scrape timeout: got %q, want 5", got)
		}
		w.Write(exposition)
	})
	mux.HandleFunc("/refused", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "\x1b[2J", http.StatusUnauthorized) })
	mux.HandleFunc("/elsewhere", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/metrics", http.StatusFound) })
	mux.HandleFunc("/other", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("node_load1 1\n")) })
	mux.HandleFunc("/page", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("<html>")) })
	server := httptest.NewServer(mux)
	defer server.Close()
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

	tests := []struct {
		name, url string
		err       string // empty: samples
		silent    bool
	}{
		{"samples", server.URL + "/metrics", "", false},
		{"authentication", server.URL + "/refused", "HTTP status 401", false},
		{"redirect", server.URL + "/elsewhere", "HTTP status 302", false},
		{"another exporter", server.URL + "/other", "isn't the exposition of an attestation_exporter", false},
		{"a page", server.URL + "/page", "parse exposition", false},
		{"no listener", "http://" + unusedAddress(t), "connection refused", true},
		{"no TLS there", strings.Replace(server.URL, "http:", "https:", 1), "server gave HTTP response to HTTPS client", false},
	}
	var urls []string
	for _, tt := range tests {
		urls = append(urls, tt.url)
	}
	targets, err := Targets(urls)
	if err != nil {
		t.Fatal(err)
	}
	answers := Ask(t.Context(), client, targets, 5*time.Second)
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := answers[i]
			if tt.err == "" {
				if got.Err != nil || len(got.Samples) == 0 {
					t.Errorf("got %v, want samples", got.Err)
				}
				return
			}
			if got.Err == nil || !strings.Contains(got.Err.Error(), tt.err) || got.Silent != tt.silent {
				t.Errorf("got %v, silent %t, want %q, silent %t", got.Err, got.Silent, tt.err, tt.silent)
			}
		})
	}
}

// One that accepts and says nothing holds up nobody else, and is silent.
func TestAskTimesOut(t *testing.T) {
	hanging, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = hanging.Close() }()
	target := Target{Host: "h", URL: &url.URL{Scheme: "http", Host: hanging.Addr().String(), Path: "/metrics"}}
	answers := Ask(t.Context(), &http.Client{}, []Target{target}, 50*time.Millisecond)
	if got := answers[0]; got.Err == nil || !got.Silent {
		t.Errorf("got %v, silent %t, want an error for one that is silent", got.Err, got.Silent)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got := Ask(ctx, &http.Client{}, []Target{target}, time.Minute)[0]; got.Err == nil || got.Silent {
		t.Errorf("interrupted: got %v, silent %t, want an error that says nothing of the host", got.Err, got.Silent)
	}
}

func unusedAddress(t *testing.T) string {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}
