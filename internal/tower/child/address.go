package child

import (
	"context"
	"fmt"
	"net"
)

// FreeAddress is a loopback address for a program's server: the first of preferred
// at which nobody listens, else one with a free port.
func FreeAddress(ctx context.Context, preferred ...string) (string, error) {
	for _, address := range append(preferred, "127.0.0.1:0") {
		listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
		if err != nil {
			continue
		}
		address = listener.Addr().String()
		return address, listener.Close()
	}
	return "", fmt.Errorf("no free port on loopback, nor %q", preferred)
}
