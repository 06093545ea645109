package keylime

import (
	"cmp"
	"context"
	"errors"
	"path/filepath"
	"slices"

	"funlab.casa/attestation_exporter/certs"
	"funlab.casa/attestation_exporter/failure"
	"funlab.casa/attestation_exporter/finding"
)

// maxCertificates bounds what the configuration makes somebody with more rights
// read: Keylime's own user may write it.
const maxCertificates = 100

const (
	defaultDir = "/var/lib/keylime"
	serverCert = "server-cert.crt"
	clientCert = "client-cert.crt"
	verifierCA = "cv_ca/cacert.crt"
)

// A certificateKey is a setting that names certificates.
type certificateKey struct {
	key string
	// standard is the file that the word "default" stands for, in the component's
	// folder; empty for a list of authorities. There the word is the one that the
	// verifier makes, wherever that folder is, and "all" is that nobody is checked.
	standard string
}

func keysOf(settings []certificateKey, folder string) []string {
	keys := []string{folder}
	for _, s := range settings {
		keys = append(keys, s.key)
	}
	return keys
}

// Certificates returns the files of certificates that the configuration of Keylime on
// this host names, each once: the components' own, and the authorities that they
// trust. Each may be absent, since the files of all components are often installed
// where only one of them runs. With an error come those that the readable part names.
func (f *Files) Certificates(ctx context.Context) ([]certs.File, error) {
	var files []certs.File
	var errs []error
	for _, component := range []func(context.Context) ([]certs.File, error){
		f.verifierCertificates, f.registrarCertificates, f.tenantCertificates, f.agentCertificates,
	} {
		named, err := component(ctx)
		files = append(files, named...)
		if !errors.Is(err, ErrAbsent) {
			errs = append(errs, err)
		}
	}
	slices.SortStableFunc(files, func(a, b certs.File) int { return cmp.Compare(a.Path, b.Path) })
	files = slices.CompactFunc(files, func(a, b certs.File) bool { return a.Path == b.Path })
	if len(files) > maxCertificates {
		files = files[:maxCertificates]
		errs = append(errs, failure.Errorf(failure.Malformed, "Keylime's configuration names more than %d certificates", maxCertificates))
	}
	return files, errors.Join(errs...)
}

func (f *Files) verifierCertificates(ctx context.Context) ([]certs.File, error) {
	return f.pythonCertificates(ctx, f.verifier, "cv_ca", []certificateKey{
		{"server_cert", serverCert}, {"client_cert", clientCert}, {key: "trusted_client_ca"}, {key: "trusted_server_ca"},
	})
}

func (f *Files) registrarCertificates(ctx context.Context) ([]certs.File, error) {
	return f.pythonCertificates(ctx, f.registrar, "reg_ca", []certificateKey{
		{"server_cert", serverCert}, {key: "trusted_client_ca"},
	})
}

// tenantCertificates are those of the client that adds agents, and brings them back.
func (f *Files) tenantCertificates(ctx context.Context) ([]certs.File, error) {
	return f.pythonCertificates(ctx, f.tenant, "cv_ca", []certificateKey{
		{"client_cert", clientCert}, {key: "trusted_server_ca"},
	})
}

// pythonCertificates resolves tls_dir, whose words stand for folders that Keylime
// makes: "default" for the verifier's, "generate" for the component's own.
func (f *Files) pythonCertificates(ctx context.Context, c *component, generated string, settings []certificateKey) ([]certs.File, error) {
	const folder = "tls_dir"
	found, err := f.read(ctx, c, keysOf(settings, folder))
	if err != nil {
		return nil, err
	}
	home := f.dir(defaultDir)
	dir := found.text(folder, "default")
	switch dir {
	case "default":
		dir = "cv_ca"
	case "generate":
		dir = generated
	}
	return found.certificates(settings, under(home, dir), home), nil
}

func (f *Files) agentCertificates(ctx context.Context) ([]certs.File, error) {
	const folder = "keylime_dir"
	settings := []certificateKey{
		{"server_cert", serverCert}, {"iak_cert", "iak-cert.crt"}, {"idevid_cert", "idevid-cert.crt"},
		{key: "trusted_client_ca"}, {key: "registrar_tls_ca_cert"}, {key: "verifier_tls_ca_cert"},
	}
	found, err := f.read(ctx, f.agent, keysOf(settings, folder))
	if err != nil {
		return nil, err
	}
	home := f.dir(found.text(folder, defaultDir))
	return found.certificates(settings, home, home), nil
}

// dir applies KEYLIME_DIR, which wins over every configured folder.
func (f *Files) dir(configured string) string {
	if dir, ok := f.env("KEYLIME_DIR"); ok && dir != "" {
		return dir
	}
	return configured
}

// certificates resolves names that aren't absolute below dir, the component's folder;
// home is Keylime's own. A setting that is there and empty names nothing.
func (v values) certificates(settings []certificateKey, dir, home string) []certs.File {
	var files []certs.File
	for _, s := range settings {
		text, names := v.text(s.key, ""), []string(nil)
		switch _, set := v[s.key]; {
		case (!set || text == "default") && s.standard != "":
			names = []string{s.standard}
		case !set || text == "default":
			names = []string{filepath.Join(home, verifierCA)}
		case s.standard != "" && text != "":
			names = []string{text}
		case text != "all":
			names = listOf(text)
		}
		for _, name := range names {
			files = append(files, certs.File{Path: under(dir, name), Optional: true, From: cmp.Or(v[s.key].from, finding.Default)})
		}
	}
	return files
}
