package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"funlab.casa/attestation_exporter/internal/tower"
)

// printMetrics stands up the Tower's host, without anybody who watches it, and
// prints one exposition.
func printMetrics(ctx context.Context, options tower.Options, out io.Writer) error {
	options.Day = 24 * time.Hour
	t, err := tower.Start(ctx, options)
	if err != nil {
		return err
	}
	defer t.Close()
	text, err := get(ctx, http.DefaultTransport, t.ExporterURL+"/metrics")
	if err != nil {
		return err
	}
	_, err = out.Write(text)
	return err
}

// get returns the body of url.
func get(ctx context.Context, client http.RoundTripper, url string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, err
	}
	answer, err := client.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("get %s: %s", url, answer.Status)
	}
	return io.ReadAll(answer.Body)
}
