package bus

import (
	"fmt"
	"sync"

	"github.com/godbus/dbus/v5"
)

// A gate holds calls back.
type gate struct {
	reached chan struct{} // closed when the first call waits
	opened  chan struct{} // closed when calls may go on
	once    sync.Once
}

func (g *gate) wait() {
	g.once.Do(func() { close(g.reached) })
	<-g.opened
}

// Hang makes every call wait without an answer until Resume. The channel that it
// returns is closed when the first call does.
func (b *Bus) Hang() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.gate == nil {
		b.gate = &gate{reached: make(chan struct{}), opened: make(chan struct{})}
	}
	return b.gate.reached
}

// Resume ends Hang, and answers what was asked meanwhile.
func (b *Bus) Resume() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.gate != nil {
		close(b.gate.opened)
		b.gate = nil
	}
}

// StopDaemon ends the daemon and with it every connection. Only Close is left to
// be called then.
func (b *Bus) StopDaemon() {
	b.stop()
	<-b.exited
}

// Override puts any value in the place of a property, whatever its type should
// be. The interface goes without its prefix: Unit, Timer or Service.
func (b *Bus) Override(unit, iface, property string, value any) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	properties, ok := b.units[unit].interfaces[iface]
	if !ok {
		return fmt.Errorf("unit %s has no interface %s", unit, iface)
	}
	properties[property] = dbus.MakeVariant(value)
	return nil
}

// Calls returns how many calls the stand-in was asked for.
func (b *Bus) Calls() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.calls
}

// enter counts a call, and holds it while calls hang.
func (b *Bus) enter() {
	b.mu.Lock()
	b.calls++
	gate := b.gate
	b.mu.Unlock()
	if gate != nil {
		gate.wait()
	}
}
