package tower

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"path/filepath"
	"time"
)

// introduce mints the proxy's certificate and the exporter's own, which are of
// another CA than Keylime's, writes what the exporter is given, and returns how the
// proxy speaks TLS.
func (t *Tower) introduce(now time.Time) (*tls.Config, error) {
	season := now.AddDate(0, 0, 90)
	proxy, err := issue(leaf("keylime."+trustDomain, now.Add(-time.Hour), season), t.middle)
	if err != nil {
		return nil, err
	}
	monitoring, err := issue(authority("Tower Monitoring CA", now.Add(-time.Hour), season), nil)
	if err != nil {
		return nil, err
	}
	t.attestation.monitoring, t.attestation.clients = monitoring, map[string]*identity{}
	for _, server := range []string{"verifier", "registrar"} {
		if err := t.admitExporter(server, now.Add(-time.Hour), season); err != nil {
			return nil, err
		}
	}
	for file, content := range map[string]string{
		t.path("keylime", "agent.conf"): fmt.Sprintf("[agent]\nuuid = %q\n", hostAgent),
		t.path("keylime", "verifier.conf"): fmt.Sprintf(
			"[verifier]\nuuid = default\nquote_interval = %g\n", quoteInterval.Seconds()),
	} {
		if err := replace(file, []byte(content)); err != nil {
			return nil, err
		}
	}
	clients := x509.NewCertPool()
	clients.AddCert(monitoring.certificate)
	return &tls.Config{
		MinVersion:   tls.VersionTLS12,
		Certificates: []tls.Certificate{proxy.pair(proxy.certificate, t.middle.certificate)},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    clients,
	}, nil
}

// admitExporter gives the exporter a certificate for one of Keylime's servers, in the
// place of the one that it has. The key stays, so that the two files always fit.
func (t *Tower) admitExporter(server string, notBefore, notAfter time.Time) error {
	parts := &t.attestation
	template := leaf("attestation-exporter", notBefore, notAfter)
	file := func(suffix string) string { return t.path("exporter", "keylime-"+server+suffix) }
	if had := parts.clients[server]; had != nil {
		client, err := certify(had.key, template, parts.monitoring)
		if err != nil {
			return err
		}
		return writePEM(file(".crt"), client.certificate)
	}
	client, err := issue(template, parts.monitoring)
	if err != nil {
		return err
	}
	parts.clients[server] = client
	config := fmt.Sprintf("tls_config:\n  ca_file: %s\n  cert_file: %s\n  key_file: %s\n",
		t.path("keylime", "ca-root-only.crt"), filepath.Base(file(".crt")), filepath.Base(file(".key")))
	return errors.Join(
		replace(file(".yml"), []byte(config)),
		writePEM(file(".crt"), client.certificate),
		writeKey(file(".key"), client.key),
	)
}

// lapse lets the exporter's certificate for the verifier be over since a second, or
// renews it.
func (t *Tower) lapse(over bool) error {
	now := time.Now()
	if over {
		return t.admitExporter("verifier", now.AddDate(0, 0, -90), now.Add(-time.Second))
	}
	return t.admitExporter("verifier", now.Add(-time.Hour), now.AddDate(0, 0, 90))
}
