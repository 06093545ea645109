package spire

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/spiffe/go-spiffe/v2/proto/spiffe/workload"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"funlab.casa/attestation_exporter/certs"
)

// A refused caller costs the agent an error line in its log for each call. It is
// asked again after a minute, since a new registration entry takes some seconds to
// arrive, and then more and more seldom.
const (
	firstRest = time.Minute
	lastRest  = time.Hour
)

// workloadTimeout is what a workload would hardly wait longer than.
const workloadTimeout = 5 * time.Second

// workloadAPI asks an agent for the bundles that it gives to workloads. Its zero
// value is ready.
type workloadAPI struct {
	mu      sync.Mutex
	refusal error
	until   time.Time
	rest    time.Duration
}

// fetched is one answer and how long a workload waits for it.
type fetched struct {
	bundles []certs.LiveBundle
	took    time.Duration
}

// fetch calls FetchX509Bundles. It never asks for an SVID: that answer carries the
// private keys of every identity that the caller matches.
func (w *workloadAPI) fetch(ctx context.Context, l *line, s socket) (fetched, error) {
	if err := w.refused(time.Now()); err != nil {
		return fetched{}, err
	}
	begin := time.Now()
	answer, err := fetchX509Bundles(ctx, l, s)
	took := time.Since(begin)
	w.note(time.Now(), err)
	if err != nil {
		return fetched{}, err
	}
	var got fetched
	got.took = took
	var errs []error
	for id, der := range answer.GetBundles() {
		identity, err := parseIdentity(id)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		authorities, err := parseAuthorities(der)
		if err != nil {
			errs = append(errs, fmt.Errorf("bundle of %s: %w", identity.TrustDomain, err))
		}
		got.bundles = append(got.bundles, certs.LiveBundle{TrustDomain: identity.TrustDomain, Source: "workload-api", Authorities: authorities})
	}
	return got, errors.Join(errs...)
}

func fetchX509Bundles(ctx context.Context, l *line, s socket) (*workload.X509BundlesResponse, error) {
	conn, err := l.connect(ctx, s)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	// The header keeps a browser or proxy from being tricked into this call
	// (SPIFFE Workload API, section 3.1).
	ctx, cancel := context.WithCancel(metadata.AppendToOutgoingContext(ctx, "workload.spiffe.io", "true"))
	defer cancel()
	stream, err := workload.NewSpiffeWorkloadAPIClient(conn).FetchX509Bundles(ctx, &workload.X509BundlesRequest{})
	if err != nil {
		return nil, conn.callError("fetch bundles", err)
	}
	// The stream would go on with each change; its first message is what is.
	answer, err := stream.Recv()
	if err != nil {
		return nil, conn.callError("fetch bundles", err)
	}
	return answer, nil
}

// refused returns the last refusal while it isn't time to ask again.
func (w *workloadAPI) refused(now time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if now.Before(w.until) {
		return w.refusal
	}
	return nil
}

// note remembers a refusal, and forgets it after any other answer.
func (w *workloadAPI) note(now time.Time, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if status.Code(err) != codes.PermissionDenied {
		w.refusal, w.rest = nil, 0
		return
	}
	w.rest = min(max(2*w.rest, firstRest), lastRest)
	w.refusal, w.until = fmt.Errorf("not asked again for %s: %w", w.rest, err), now.Add(w.rest)
}
