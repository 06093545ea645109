package status

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// A Target is an exporter to ask.
type Target struct {
	Host string
	URL  *url.URL
}

// Targets makes targets of URLs. A host is named as in the URL, with its port where
// two exporters would have one name.
func Targets(urls []string) ([]Target, error) {
	targets := make([]Target, 0, len(urls))
	named := map[string]int{}
	for _, text := range urls {
		parsed, err := url.Parse(text)
		if err != nil || parsed.Host == "" || parsed.Scheme != "http" && parsed.Scheme != "https" {
			return nil, fmt.Errorf("%.100q isn't a URL such as https://host.example.org:10247/metrics", text)
		}
		if parsed.User != nil {
			return nil, errors.New("a URL with a password in it is seen by every user of this machine: use --http-config")
		}
		if parsed.Path == "" || parsed.Path == "/" {
			parsed.Path = "/metrics"
		}
		targets = append(targets, Target{Host: printable(parsed.Hostname()), URL: parsed})
		named[parsed.Hostname()]++
	}
	for i, target := range targets {
		if named[target.URL.Hostname()] > 1 {
			targets[i].Host = printable(target.URL.Host)
		}
	}
	return targets, nil
}

// maxAtOnce is how many exporters are asked at the same time.
const maxAtOnce = 32

// Ask asks all targets side by side, each within timeout, and answers in their order.
func Ask(ctx context.Context, client *http.Client, targets []Target, timeout time.Duration) []Answer {
	answers := make([]Answer, len(targets))
	slots := make(chan struct{}, maxAtOnce)
	var asked sync.WaitGroup
	for i, target := range targets {
		slots <- struct{}{}
		asked.Go(func() {
			defer func() { <-slots }()
			answers[i] = ask(ctx, client, target, timeout)
		})
	}
	asked.Wait()
	return answers
}

func ask(ctx context.Context, client *http.Client, target Target, timeout time.Duration) Answer {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	answer := Answer{Host: target.Host, URL: target.URL.Redacted()}
	samples, err := get(ctx, client, target.URL, timeout)
	if err != nil {
		answer.Silent = silent(err)
		answer.Err = harmless(withoutURL(err))
		return answer
	}
	answer.Samples = samples
	return answer
}

func get(ctx context.Context, client *http.Client, from *url.URL, timeout time.Duration) (Samples, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, from.String(), http.NoBody)
	if err != nil {
		return nil, err
	}
	// The exporter then answers in time with what it has.
	request.Header.Set("X-Prometheus-Scrape-Timeout-Seconds", strconv.FormatFloat(timeout.Seconds(), 'f', -1, 64))
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close() //nolint:errcheck // Nothing was written.
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("HTTP status %d", response.StatusCode)
	}
	samples, err := Parse(response.Body)
	if err != nil {
		return nil, err
	}
	if len(samples["attestation_exporter_build_info"]) == 0 {
		return nil, errors.New("this isn't the exposition of an attestation_exporter")
	}
	return samples, nil
}

// silent reports whether an error means that nothing is there, and not that it
// doesn't want to talk to us.
func silent(err error) bool {
	var netError net.Error
	var operation *net.OpError
	var name *net.DNSError
	switch {
	case errors.As(err, &name):
		return false // A wrong name is a fault of who asks.
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &netError) && netError.Timeout():
		return true
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.ECONNREFUSED):
		return true
	}
	return errors.As(err, &operation) && operation.Op == "dial"
}

// withoutURL drops the addresses that the HTTP client and the network write before
// their errors: the row names the host.
func withoutURL(err error) error {
	var request *url.Error
	if errors.As(err, &request) {
		err = request.Err
	}
	var operation *net.OpError
	if errors.As(err, &operation) && operation.Op == "dial" {
		err = operation.Err
	}
	return err
}
