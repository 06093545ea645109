package systemd

import (
	"fmt"
	"net/url"
	"os"
	"strings"
)

// standardAddress is where the system bus listens unless the environment says
// otherwise (D-Bus Specification, Well-known Message Bus Instances; systemd's
// dbus.socket has it under /run, of which /var/run is a link).
const standardAddress = "unix:path=/run/dbus/system_bus_socket"

// busVariable is what names another system bus to all programs.
const busVariable = "DBUS_SYSTEM_BUS_ADDRESS"

// systemBusAddress returns the address of the system bus, and whether systemd or
// the environment promises that something is there. booted is the folder that
// exists where systemd is the service manager (sd_booted(3)).
func systemBusAddress(booted string) (address string, promised bool) {
	if address = os.Getenv(busVariable); address != "" {
		return address, true
	}
	_, err := os.Lstat(booted)
	return standardAddress, err == nil
}

// socketPaths returns the sockets that a bus address names, in the order in which
// they are to be tried (D-Bus Specification, Server Addresses). Other transports
// than Unix sockets have no place in a system bus, and the one that runs a command
// least of all.
func socketPaths(address string) ([]string, error) {
	var paths []string
	for entry := range strings.SplitSeq(address, ";") {
		parameters, isUnix := strings.CutPrefix(entry, "unix:")
		if !isUnix {
			continue
		}
		for parameter := range strings.SplitSeq(parameters, ",") {
			key, value, _ := strings.Cut(parameter, "=")
			path, err := url.PathUnescape(value)
			switch {
			case key != "path" && key != "abstract":
				continue
			case err != nil:
				return nil, fmt.Errorf("bus address %q: %w", address, err)
			case key == "abstract":
				path = "@" + path // Package net's sign for the abstract namespace.
			}
			paths = append(paths, path)
		}
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("bus address %q names no Unix socket (unix:path=…)", address)
	}
	return paths, nil
}
