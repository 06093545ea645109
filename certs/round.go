package certs

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// A round is one reading in the making. Each path is loaded once in it, however
// many patterns and chains name it.
type round struct {
	source   *Source
	loads    map[string]*loaded
	findings map[what]Load
	verdicts []Verdict
}

func (r *round) found(kind, name string, c *Certificate, err error) {
	r.source.log.note(kind, name, err)
	if !utf8.ValidString(name) {
		// Two such names must not look alike once a label has made them valid.
		name = strings.Trim(strconv.Quote(name), `"`)
	}
	r.findings[what{kind, name}] = Load{Kind: kind, Name: name, Certificate: c, Failed: reasonOf(err)}
}

// contents are what a file held, and why that isn't all.
type contents struct {
	certificates []*x509.Certificate
	first        *Certificate // that ends
	err          error
}

func contentsOf(data []byte) contents {
	d := decode(data)
	return contents{certificates: d.certificates, first: FirstToEnd(d.certificates), err: d.err()}
}

type loaded struct {
	contents
	trusted *authorities // nil until asked for
}

func (l *loaded) authorities() *authorities {
	if l.trusted == nil {
		a := authoritiesOf(l.certificates)
		l.trusted = &a
	}
	return l.trusted
}

func (r *round) load(path string) *loaded {
	if l, ok := r.loads[path]; ok {
		return l
	}
	l := &loaded{}
	held, _, err := r.source.cache.load(path)
	if err != nil {
		l.err = err
	} else {
		l.contents = held
		r.source.seen.add(path)
	}
	r.loads[path] = l
	return l
}

// need loads a file, and says so if that fails. It returns nil for an optional file
// that isn't here.
func (r *round) need(f File) *loaded {
	l := r.load(f.Path)
	switch {
	case r.source.seen.excuse(f, l.err):
		return nil
	case l.err != nil:
		r.found(KindFile, f.Path, l.first, l.err)
	default:
		r.source.log.note(KindFile, f.Path, nil)
	}
	return l
}

// show loads a file whose certificate is to be seen when all is well, too.
func (r *round) show(f File) {
	if l := r.need(f); l != nil && l.err == nil {
		r.found(KindFile, f.Path, l.first, nil)
	}
}

func (r *round) readFiles(ctx context.Context) error {
	files, err := r.expand(ctx)
	for _, f := range files {
		if ctx.Err() != nil {
			return errors.Join(err, fmt.Errorf("read files: %w", ctx.Err()))
		}
		r.show(f)
	}
	for path := range r.source.seen {
		if _, done := r.loads[path]; !done {
			r.need(File{Path: path})
		}
	}
	for _, c := range r.source.chains {
		r.judge(c, time.Now())
	}
	r.source.cache.Forget(func(path string) bool { _, ok := r.loads[path]; return ok })
	return err
}

// expand returns the paths that others and the patterns name. What a directory listed
// is optional: it may be gone by the time that it is read.
func (r *round) expand(ctx context.Context) ([]File, error) {
	files, err := r.namedByOthers(ctx)
	errs := []error{err}
	for _, f := range r.source.files {
		if !hasMeta(f.Path) {
			files = append(files, File{Path: filepath.Clean(f.Path), Optional: f.Optional})
			continue
		}
		paths, err := glob(ctx, f.Path, maxMatches)
		switch {
		case err == nil:
			r.source.log.note(KindFile, f.Path, nil)
		case errors.Is(err, errTooMany), ctx.Err() != nil:
			errs = append(errs, fmt.Errorf("list %q: %w", f.Path, err))
		default:
			r.found(KindFile, f.Path, nil, err)
		}
		files = slices.Grow(files, len(paths))
		for _, path := range paths {
			files = append(files, File{Path: filepath.Clean(path), Optional: true})
		}
	}
	for _, c := range r.source.chains {
		files = append(files, File{Path: c.File, Optional: c.Optional})
	}
	return files, errors.Join(errs...)
}

// judge verifies the chain in a file. There is no verdict where a part of either
// file is missing: it could be the part that matters.
func (r *round) judge(c Chain, now time.Time) {
	chain := r.need(File{Path: c.File, Optional: c.Optional})
	if chain == nil {
		return
	}
	ca := r.need(File{Path: c.CAFile, Optional: c.Optional})
	if ca == nil || chain.err != nil || ca.err != nil {
		return
	}
	valid := r.source.proofs[c].holds(chain.certificates, ca.certificates, now)
	if !valid {
		proven, err := proveWith(ca.authorities(), chain.certificates, ca.certificates, now)
		r.source.proofs[c], valid = proven, err == nil
	}
	r.verdicts = append(r.verdicts, Verdict{Kind: KindFile, Name: c.File, Authority: c.CAFile, Valid: valid})
}

func (r *round) beginProbes(ctx context.Context) []<-chan struct{} {
	var running []<-chan struct{}
	for _, p := range r.source.probes {
		running = append(running, r.source.prober.begin(ctx, p, r.authorities(p.endpoint.CAFile)))
	}
	return running
}

// authorities returns nil if they can't be read.
func (r *round) authorities(path string) *authorities {
	if path == "" {
		return &authorities{} // the system's
	}
	ca := r.need(File{Path: path})
	if ca.err != nil {
		return nil
	}
	return ca.authorities()
}

// endProbes waits for the probes that run, and takes their outcomes. Those that are
// late will have one for the next reading.
func (r *round) endProbes(ctx context.Context, running []<-chan struct{}) {
	for _, done := range running {
		select {
		case <-done:
		case <-ctx.Done():
		}
	}
	for _, p := range r.source.probes {
		got, name := p.outcome(), p.endpoint.Name()
		r.found(KindEndpoint, name, got.certificate, got.err)
		if got.verified != nil {
			authority := cmp.Or(p.endpoint.CAFile, AuthoritySystem)
			r.verdicts = append(r.verdicts, Verdict{Kind: KindEndpoint, Name: name, Authority: authority, Valid: *got.verified})
		}
	}
}

func (r *round) reading() Reading {
	loads := slices.AppendSeq(make([]Load, 0, len(r.findings)), maps.Values(r.findings))
	reading := Reading{Loads: loads, Verdicts: r.verdicts}
	slices.SortFunc(reading.Loads, byKindAndName)
	return reading
}
