// Package spire reads a SPIRE agent and a SPIRE server over their Unix sockets and
// files: whether they answer, whose identities they hold, when those end, and which
// authorities they trust now.
//
// It asks for no key and no identity (FetchX509SVID hands out private keys, and is
// never called), changes nothing, and sees a configuration file's paths and times
// only, not its secrets. It does not know what ought to be alarming about an
// answer, nor how the answer is shown.
package spire

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"funlab.casa/attestation_exporter/failure"
)

// ErrAbsent says that the part of SPIRE asked for isn't installed on this host.
var ErrAbsent = errors.New("no SPIRE on this host")

// maxID is the longest SPIFFE ID that an implementation has to support (SPIFFE-ID,
// section 2.3). What is longer comes from a broken or hostile peer.
const maxID = 2048

// An Identity is the SPIFFE ID of an agent and what its parts say.
type Identity struct {
	// ID is the whole URI.
	ID string
	// TrustDomain is its authority part, without scheme.
	TrustDomain string
	// AttestationType is the node attestor that vouched for the agent: by
	// SPIRE's convention the third part of /spire/agent/<type>/<...>. Empty
	// where the path is another one.
	AttestationType string
	// KeylimeAgent is Keylime's agent id where the attestor is Keylime, else
	// empty.
	KeylimeAgent string
}

// parseIdentity parses what a peer calls a SPIFFE ID.
func parseIdentity(id string) (Identity, error) {
	if len(id) > maxID {
		return Identity{}, failure.Errorf(failure.Malformed, "SPIFFE ID of %d bytes, at most %d are allowed", len(id), maxID)
	}
	parsed, err := spiffeid.FromString(id)
	if err != nil {
		return Identity{}, failure.Errorf(failure.Malformed, "parse SPIFFE ID %.100q: %w", id, err)
	}
	identity := Identity{ID: id, TrustDomain: parsed.TrustDomain().Name()}
	segments := strings.Split(strings.TrimPrefix(parsed.Path(), "/"), "/")
	if len(segments) < 4 || segments[0] != "spire" || segments[1] != "agent" {
		return identity, nil
	}
	identity.AttestationType = segments[2]
	if segments[2] == "keylime" && len(segments) == 4 {
		identity.KeylimeAgent = segments[3]
	}
	return identity, nil
}

// joinID is the URI of an ID that SPIRE sends in two halves.
func joinID(id interface {
	GetTrustDomain() string
	GetPath() string
}) string {
	return fmt.Sprintf("spiffe://%s%s", id.GetTrustDomain(), id.GetPath())
}
