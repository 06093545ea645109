package main

import (
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestScrapesAtOnce lets 500 scrapers come at once to a host on which nothing
// answers: as many as are allowed are served by the deadline, others are sent away,
// and nothing is left behind.
func TestScrapesAtOnce(t *testing.T) {
	host := newHostileHost(t)
	s := serve(t, host.args...)
	client := &http.Client{Transport: &http.Transport{}}
	if _, err := s.scrape(client); err != nil {
		t.Fatal(err)
	}
	begin := inUse(t)
	host.behave(silent)
	pages := make([]page, 500)
	errs := make([]error, len(pages))
	var all sync.WaitGroup
	for i := range pages {
		all.Go(func() { pages[i], errs[i] = s.scrape(client) })
	}
	all.Wait()
	counts := map[int]int{}
	for i, got := range pages {
		if errs[i] != nil {
			t.Fatal(errs[i])
		}
		counts[got.status]++
		// The client shares the machine with 500 of its kind.
		if got.status == http.StatusOK && got.took > 10*patience {
			t.Errorf("scrape %d: took %v, its scraper waits for %v", i, got.took, patience)
		}
	}
	if counts[http.StatusOK] < 40 || counts[http.StatusServiceUnavailable] == 0 || counts[http.StatusOK]+counts[http.StatusServiceUnavailable] != len(pages) {
		t.Errorf("got %v, want 40 times 200 at least, and 503 for the others", counts)
	}
	host.behave(nil)
	client.CloseIdleConnections()
	expectNoGrowth(t, begin)
}

// TestStopWhileScraped stops the exporter in the middle of a scrape on which nothing
// answers: the scrape is served, and then the program ends.
func TestStopWhileScraped(t *testing.T) {
	host := newHostileHost(t)
	s := serve(t, host.args...)
	client := &http.Client{Transport: &http.Transport{}}
	first, err := s.scrape(client)
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan struct{})
	var once sync.Once
	host.peers[0].behave(func(c net.Conn) {
		once.Do(func() { close(asked) })
		silent(c)
	})
	// A reading that was made just before is still shared, so that it may be another
	// collector of a scrape that asks the TPM. Then the next scrape finds nobody.
	result := make(chan page, 1)
	go func() {
		var last page
		for {
			got, err := s.scrape(client)
			if errors.Is(err, syscall.ECONNREFUSED) {
				got = last
			}
			if err != nil || !got.success["tpm"] {
				result <- got
				return
			}
			last = got
		}
	}()
	select {
	case <-asked:
	case <-time.After(10 * time.Second):
		t.Fatal("nobody asked the TPM")
	}
	s.stop()
	if got := <-result; got.status != http.StatusOK || len(got.success) != len(first.success) {
		t.Errorf("got status %d with %d collectors, want 200 with %d", got.status, len(got.success), len(first.success))
	}
	if err := <-s.done; err != nil {
		t.Errorf("the program ended with %v, want no error", err)
	}
	if strings.Contains(s.log.String(), "Cut off") {
		t.Errorf("the scrape was cut off:\n%s", s.log)
	}
}
