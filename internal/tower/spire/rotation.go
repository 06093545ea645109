package spire

import "slices"

// Rotate does what a SPIRE server does with its authorities as time passes, and
// tells whether the bundle has changed. The next authority is prepared when half of
// the active one's life is over, and signs when a sixth is left; what ended as long
// ago as an authority lives is pruned.
func (d *Domain) Rotate() (changed bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now, end := d.Now(), d.active.certificate.NotAfter
	if d.prepared == nil && !now.Before(end.Add(-d.Lifetime/2)) {
		if err := d.prepare(); err != nil {
			return false, err
		}
		changed = true
	}
	if d.prepared != nil && !now.Before(end.Add(-d.Lifetime/6)) {
		d.activate()
	}
	before := len(d.authorities)
	d.authorities = slices.DeleteFunc(d.authorities, func(a *authority) bool {
		return now.After(a.certificate.NotAfter.Add(d.Lifetime))
	})
	return changed || len(d.authorities) < before, nil
}
