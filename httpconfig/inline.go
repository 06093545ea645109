package httpconfig

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"strings"

	"github.com/prometheus/common/config"
)

// checkInline refuses certificates and keys that are written out and can't be used,
// since nothing will ever mend them. Those in files may be renewed, or come after
// the program, and show when they are to be used. Errors are of this package's own
// making: those of the standard library may quote what stands before a key.
func checkInline(settings config.TLSConfig) error {
	switch {
	case settings.CA != "" && !holdsCertificate(settings.CA):
		return errors.New("tls_config: ca holds no certificate in PEM")
	case settings.Cert != "" && !holdsCertificate(settings.Cert):
		return errors.New("tls_config: cert holds no certificate in PEM")
	case settings.Key != "" && !holdsKey(string(settings.Key)):
		return errors.New("tls_config: key holds no private key in PEM that can be used")
	}
	if settings.Cert == "" || settings.Key == "" {
		return nil
	}
	if _, err := tls.X509KeyPair([]byte(settings.Cert), []byte(settings.Key)); err != nil {
		return errors.New("tls_config: cert and key don't belong together")
	}
	return nil
}

func holdsCertificate(text string) bool {
	return x509.NewCertPool().AppendCertsFromPEM([]byte(text))
}

// holdsKey looks for a key in the forms that crypto/tls takes.
func holdsKey(text string) bool {
	for block, rest := pem.Decode([]byte(text)); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "PRIVATE KEY" || strings.HasSuffix(block.Type, " PRIVATE KEY") {
			return isKey(block.Bytes)
		}
	}
	return false
}

func isKey(der []byte) bool {
	_, pkcs8 := x509.ParsePKCS8PrivateKey(der)
	_, pkcs1 := x509.ParsePKCS1PrivateKey(der)
	_, sec1 := x509.ParseECPrivateKey(der)
	return pkcs8 == nil || pkcs1 == nil || sec1 == nil
}
