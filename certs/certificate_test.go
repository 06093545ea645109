package certs

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"strings"
	"testing"
	"time"
)

func TestDistinguishedName(t *testing.T) {
	many := pkix.Name{}
	for range 100_000 {
		many.Names = append(many.Names, pkix.AttributeTypeAndValue{Type: asn1.ObjectIdentifier{2, 5, 4, 11}, Value: "u"})
	}
	tests := []struct {
		name string
		in   pkix.Name
		want string
	}{
		{"plain", pkix.Name{CommonName: "leaf", Organization: []string{"Lab"}, Country: []string{"DE"}}, "CN=leaf,O=Lab,C=DE"},
		{"escaped", pkix.Name{CommonName: "a,b"}, `CN=a\,b`},
		{"empty", pkix.Name{}, ""},
		{"control characters", pkix.Name{CommonName: "a\x1b[31m\nb"}, "CN=a\uFFFD[31m\uFFFDb"},
		{"not UTF-8", pkix.Name{CommonName: "a\xffb"}, "CN=a\uFFFDb"},
		{"long", pkix.Name{CommonName: strings.Repeat("x", 1000)}, "CN=" + strings.Repeat("x", 253)},
		{"cut between characters", pkix.Name{CommonName: strings.Repeat("é", 1000)}, "CN=" + strings.Repeat("é", 126)},
		{"a hundred thousand attributes", many, strings.TrimSuffix(strings.Repeat("OU=u+", maxNameAttributes), "+")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := distinguishedName(tt.in); got != tt.want {
				t.Errorf("distinguishedName: got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestEndsFirst(t *testing.T) {
	at := func(name string, hours int) *x509.Certificate {
		return &x509.Certificate{Subject: pkix.Name{CommonName: name}, NotAfter: time.Unix(int64(hours)*3600, 0)}
	}
	tests := []struct {
		name  string
		chain []*x509.Certificate
		want  string
	}{
		{"leaf", []*x509.Certificate{at("leaf", 1), at("intermediate", 2)}, "CN=leaf"},
		{"intermediate", []*x509.Certificate{at("leaf", 2), at("intermediate", 1)}, "CN=intermediate"},
		{"together", []*x509.Certificate{at("leaf", 1), at("intermediate", 1)}, "CN=leaf"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := FirstToEnd(tt.chain); got == nil || got.Subject != tt.want {
				t.Errorf("FirstToEnd: got %v, want %s", got, tt.want)
			}
		})
	}
	if got := FirstToEnd(nil); got != nil {
		t.Errorf("FirstToEnd of nothing: got %v, want nil", got)
	}
}
