package boot

import (
	"crypto"
	"crypto/sha256"
	"io/fs"
	"sync"
	"syscall"

	"funlab.casa/attestation_exporter/failure"
	"funlab.casa/attestation_exporter/tpm"
)

// maxRemembered bounds how many files are kept in mind.
const maxRemembered = 64

// An identity is the same as long as a file is unchanged.
type identity struct {
	device, inode uint64
	size          int64
	modified      int64 // ns
	changed       int64 // ns; can't be set back by whoever puts another file in place
}

// A Memory keeps what was found out about files that are unchanged: a kernel has
// 14 MB, and is measured at each boot, not at each scrape.
type Memory struct {
	mu      sync.Mutex
	digests map[digestKey]tpm.Digest
	roles   map[identity]role
	log     *tpm.Log
	logOf   [sha256.Size]byte // of the bytes that log was parsed from
}

type digestKey struct {
	file      identity
	algorithm crypto.Hash
}

// parse returns what is in a log, which stays as it is until the next boot. It is known
// by its bytes, since the kernel's file has no time of change to go by. Nobody may
// change what is returned.
func (m *Memory) parse(raw []byte) (*tpm.Log, error) {
	of := sha256.Sum256(raw)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.log != nil && m.logOf == of {
		return m.log, nil
	}
	log, err := tpm.ParseLog(raw)
	if err != nil {
		return nil, err
	}
	m.log, m.logOf = &log, of
	return m.log, nil
}

func (m *Memory) digest(key digestKey) (tpm.Digest, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	digest, ok := m.digests[key]
	return digest, ok
}

func (m *Memory) putDigest(key digestKey, digest tpm.Digest) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.digests == nil || len(m.digests) >= maxRemembered {
		m.digests = map[digestKey]tpm.Digest{}
	}
	m.digests[key] = digest
}

func (m *Memory) role(file identity) (role, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	found, ok := m.roles[file]
	return found, ok
}

func (m *Memory) putRole(file identity, found role) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.roles == nil || len(m.roles) >= maxRemembered {
		m.roles = map[identity]role{}
	}
	m.roles[file] = found
}

func identityOf(info fs.FileInfo) (identity, bool) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return identity{}, false
	}
	return identity{stat.Dev, stat.Ino, stat.Size, stat.Mtim.Nano(), stat.Ctim.Nano()}, true
}

// digest returns the Authenticode digest of a file.
func (h host) digest(path string, algorithm crypto.Hash) (tpm.Digest, error) {
	file, info, err := h.open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // nothing was written
	id, ok := identityOf(info)
	key := digestKey{id, algorithm}
	if digest, remembered := h.known.digest(key); ok && remembered {
		return digest, nil
	}
	digest, err := authenticode(file, info.Size(), algorithm)
	if err != nil {
		return nil, err
	}
	after, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if now, still := identityOf(after); !still || now != id {
		return nil, errChanging
	}
	h.known.putDigest(key, digest)
	return digest, nil
}

// errChanging says that a file was written to while it was read, as a package
// manager does. The next reading will find it finished.
var errChanging = failure.Errorf(failure.Unreachable, "file is being written")
