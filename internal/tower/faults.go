package tower

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Everything stands for all faults that are there.
const Everything = "everything"

// A Fault can be put into a running Tower and taken out again.
type Fault struct {
	Name string
	// What happens, in the words of somebody who sees it happen.
	What string
	// Alerts are the notifications that must arrive, in this order unless AnyOrder, and
	// no others.
	Alerts   []string
	AnyOrder bool
	// Hidden are alerts that then fire, too, and that Alertmanager must keep back.
	Hidden []string
	// Says are texts that must stand in the descriptions of the alerts.
	Says map[string]string

	breaks, mends func(*Tower, context.Context) error
}

// Between joins the names of the alerts in a text.
func (f Fault) Between() string {
	if f.AnyOrder {
		return " and "
	}
	return ", then "
}

// Break puts a fault in.
func (t *Tower) Break(ctx context.Context, name string) error {
	fault, err := faultNamed(name)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.broken[name] {
		return fmt.Errorf("%s is broken already", name)
	}
	t.broken[name] = true
	return fault.breaks(t, ctx)
}

// Mend takes a fault out, or Everything.
func (t *Tower) Mend(ctx context.Context, name string) error {
	if name != Everything {
		if _, err := faultNamed(name); err != nil {
			return err
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	var errs []error
	for _, fault := range Faults() {
		if t.broken[fault.Name] && (fault.Name == name || name == Everything) {
			delete(t.broken, fault.Name)
			errs = append(errs, fault.mends(t, ctx))
		}
	}
	return errors.Join(errs...)
}

func faultNamed(name string) (Fault, error) {
	var names []string
	for _, fault := range Faults() {
		if fault.Name == name {
			return fault, nil
		}
		names = append(names, fault.Name)
	}
	return Fault{}, fmt.Errorf("no fault %q, there are: %s", name, strings.Join(names, ", "))
}
