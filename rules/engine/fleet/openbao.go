package fleet

import "time"

// OpenBao is the one that unseals when its host is attested.
type OpenBao struct {
	// Sealed gives no metrics.
	Sealed bool

	host *Host
}

// Instance is the address at which it is scraped.
func (o *OpenBao) Instance() string { return o.host.Name + ":8200" }

// Expose writes what it shows, and returns false for a scrape that nobody answers.
func (o *OpenBao) Expose(to Exposition, now time.Time) bool {
	if o.Sealed || !o.host.up(now) {
		return false
	}
	to.Set(1, "vault_core_unsealed", "cluster", "vault-cluster-1")
	return true
}
