package spire

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"funlab.casa/attestation_exporter/certs"
	"funlab.casa/attestation_exporter/failure"
)

// AgentDataBundle names the agent's cached bundle, as a copy and as a live side: the
// seed with which the agent starts when its server is away.
const AgentDataBundle = "agent-data"

// A LiveSource reads the bundles that a part of SPIRE has now. ErrAbsent says that
// this part isn't here, or not allowed to tell.
type LiveSource func(context.Context) ([]certs.LiveBundle, error)

// MergeLive asks the sources in order. For each trust domain the first that has it
// is believed, so the one that knows most comes first: a server also knows what is
// tainted. A source that failed is an error only where no other made up for it.
func MergeLive(sources ...LiveSource) LiveSource {
	return func(ctx context.Context) ([]certs.LiveBundle, error) {
		var merged []certs.LiveBundle
		var errs []error
		for _, source := range sources {
			bundles, err := source(ctx)
			if err != nil && !errors.Is(err, ErrAbsent) {
				errs = append(errs, err)
			}
			for _, bundle := range bundles {
				if !slices.ContainsFunc(merged, func(b certs.LiveBundle) bool { return b.TrustDomain == bundle.TrustDomain }) {
					merged = append(merged, bundle)
				}
			}
		}
		if len(merged) > 0 {
			return merged, nil
		}
		return nil, errors.Join(errs...)
	}
}

// Live returns what the agent trusts now: what it gives to workloads, where that may
// be asked and is answered, else what it last wrote into its data directory, which
// it does within a second of each change. Neither tells what is tainted.
func (a *Agent) Live(ctx context.Context) ([]certs.LiveBundle, error) {
	site, err := a.finder.find()
	if err != nil {
		return nil, err
	}
	if a.options.WorkloadAPI {
		if answer, err := a.bundles.Read(ctx); len(answer.bundles) > 0 {
			return answer.bundles, err
		}
	}
	copied, err := a.cached(site)
	if err != nil {
		return nil, err
	}
	return []certs.LiveBundle{{TrustDomain: copied.TrustDomain, Source: AgentDataBundle, Authorities: copied.Authorities}}, nil
}

// BundleFile returns the trust_bundle_path of agent.conf, a copy of the bundle that
// the agent starts from, and the file that says so. Both are "" where there is none,
// or none that can be found.
func (a *Agent) BundleFile() (path, config string) {
	site, err := a.finder.find()
	if err != nil || follow("trust_bundle_path", site.config.TrustBundle) != nil {
		return "", ""
	}
	return site.config.TrustBundle, site.configPath
}

// Cached returns the bundle in the agent's data directory, as one more copy of the
// live one. A file that can't be read makes a bundle that says so.
func (a *Agent) Cached(context.Context) (certs.Bundle, error) {
	site, err := a.finder.find()
	if err != nil {
		return certs.Bundle{}, err
	}
	bundle, err := a.cached(site)
	if err != nil && !errors.Is(err, ErrAbsent) {
		return certs.Bundle{Name: AgentDataBundle, Failed: loadReason(err)}, nil
	}
	return bundle, err
}

func loadReason(err error) certs.LoadReason {
	switch failure.Of(err) {
	case failure.Malformed:
		return certs.Malformed
	case failure.Permission:
		return certs.Permission
	default:
		return certs.ReadError
	}
}

// A BundleReader reads copies of trust bundles.
type BundleReader func(context.Context) (certs.BundleReading, error)

// WithCached adds the agent's cached bundle to those that read reads.
func WithCached(read BundleReader, cached func(context.Context) (certs.Bundle, error)) BundleReader {
	return func(ctx context.Context) (certs.BundleReading, error) {
		reading, err := read(ctx)
		bundle, cachedErr := cached(ctx)
		switch {
		case errors.Is(cachedErr, ErrAbsent):
			return reading, err
		case cachedErr != nil:
			return reading, errors.Join(err, cachedErr)
		}
		reading.Bundles = append(reading.Bundles, bundle)
		if errors.Is(err, certs.ErrAbsent) {
			reading.At, err = time.Now(), nil
		}
		return reading, err
	}
}

// WithLive adds the live side to the copies that read reads, where there are any.
func WithLive(read BundleReader, live LiveSource) BundleReader {
	return func(ctx context.Context) (certs.BundleReading, error) {
		reading, err := read(ctx)
		if len(reading.Bundles) == 0 {
			return reading, err
		}
		var liveErr error
		reading.Live, liveErr = live(ctx)
		return reading, errors.Join(err, liveErr)
	}
}

func (a *Agent) cached(site site) (certs.Bundle, error) {
	data, modified, err := a.loadData(site)
	if err != nil {
		return certs.Bundle{}, err
	}
	if len(data.bundle) == 0 {
		return certs.Bundle{}, ErrAbsent
	}
	bundle := certs.ParseBundle(AgentDataBundle, data.bundle)
	bundle.Modified = modified
	// The root of an upstream authority carries no SPIFFE ID, the SVID does.
	var named string
	if len(data.chain) > 0 {
		if identity, err := identityOf(data.chain[0]); err == nil {
			named = identity.TrustDomain
		}
	}
	bundle.TrustDomain = cmp.Or(bundle.TrustDomain, named, site.config.TrustDomain)
	return bundle, nil
}
