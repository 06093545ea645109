package spire

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"funlab.casa/attestation_exporter/failure"
	"funlab.casa/attestation_exporter/finding"
	"funlab.casa/attestation_exporter/regular"
)

// Where SPIRE's parts lie when nobody says otherwise, the likelier first: the
// packaged places, then those of SPIRE's own archive, then its built-in defaults.
func defaultAgent() Place {
	return Place{
		Configs:  []string{"/etc/spire/agent.conf", "/opt/spire/conf/agent/agent.conf", "/opt/spire/conf/agent.conf"},
		DataDirs: []string{"/var/lib/spire/agent", "/opt/spire/data/agent"},
		Sockets:  []string{"/run/spire/sockets/agent.sock", "/tmp/spire-agent/public/api.sock"},
	}
}

func defaultServer() Place {
	return Place{
		Configs:  []string{"/etc/spire/server.conf", "/opt/spire/conf/server/server.conf", "/opt/spire/conf/server.conf"},
		DataDirs: []string{"/var/lib/spire/server", "/opt/spire/data/server"},
		Sockets:  []string{"/run/spire/server/api.sock", "/tmp/spire-server/private/api.sock"},
	}
}

// A Place lists where to look for a part of SPIRE, the first that is there wins.
// Empty lists stand for the standard places.
type Place struct {
	Configs  []string
	DataDirs []string
	Sockets  []string
}

func (p Place) or(standard Place) Place {
	if len(p.Configs) == 0 {
		p.Configs = standard.Configs
	}
	if len(p.DataDirs) == 0 {
		p.DataDirs = standard.DataDirs
	}
	if len(p.Sockets) == 0 {
		p.Sockets = standard.Sockets
	}
	return p
}

func (p Place) isEmpty() bool {
	return len(p.Configs)+len(p.DataDirs)+len(p.Sockets) == 0
}

// A site is one part of SPIRE as found on this host.
type site struct {
	config     Config
	configPath string
	// configErr says why config is empty although a file was to be read, or why a
	// path in it can't be followed. The standard places may be right all the same.
	configErr error
	dataDir   string // empty where unknown
	socket    socket
	// dataFrom and socketFrom are who named the two.
	dataFrom, socketFrom string
}

// A finder finds a part of SPIRE anew for each reading: it may be installed, or
// configured otherwise, while this process lives.
type finder struct {
	// given is what the user named, standard where else to look.
	given    Place
	standard Place
	// owner is the user whose process listens on the sockets, by name or number.
	owner   string
	configs regular.Memory[Config]
}

// find returns ErrAbsent where the user names nothing and neither a configuration
// file nor a data directory nor a socket is there.
func (f *finder) find() (site, error) {
	var found site
	var here bool
	found.configPath, here = firstThere(f.given.or(f.standard).Configs)
	if here || len(f.given.Configs) > 0 {
		found.config, found.configErr = f.readConfig(found.configPath)
	}
	var dataThere, socketThere bool
	var dataErr, socketErr error
	found.dataDir, found.dataFrom, dataThere, dataErr = found.locate("data_dir", found.config.DataDir, f.given.DataDirs, f.standard.DataDirs)
	found.socket.path, found.socketFrom, socketThere, socketErr = found.locate("socket_path", found.config.Socket, f.given.Sockets, f.standard.Sockets)
	found.configErr = errors.Join(found.configErr, dataErr, socketErr)
	here = here || dataThere || socketThere
	if !here && f.given.isEmpty() {
		return site{}, ErrAbsent
	}
	var err error
	found.socket.owners, err = f.owners(found.dataDir)
	return found, err
}

// readConfig takes a file that was only found, and is closed to this process, for
// none.
func (f *finder) readConfig(path string) (Config, error) {
	config, _, err := f.configs.Load(path, maxConfig, parseConfig)
	if errors.Is(err, fs.ErrPermission) && len(f.given.Configs) == 0 {
		return Config{}, nil
	}
	if err != nil {
		return Config{}, fmt.Errorf("read configuration: %w", err)
	}
	return config, nil
}

// owners returns whose process may listen beside root's: the user's choice, else
// the owner of the data directory, which nobody else can have made in a directory
// of root's.
func (f *finder) owners(dataDir string) ([]uint32, error) {
	if f.owner != "" {
		return lookupOwner(f.owner)
	}
	if info, err := os.Stat(dataDir); err == nil {
		if stat, ok := info.Sys().(*syscall.Stat_t); ok {
			return []uint32{stat.Uid}, nil
		}
	}
	return nil, nil // Not seen from here: root's remains.
}

func lookupOwner(name string) ([]uint32, error) {
	number := name
	if _, err := strconv.ParseUint(name, 10, 32); err != nil {
		account, err := user.Lookup(name)
		if err != nil {
			return nil, fmt.Errorf("look up the user of the sockets: %w", err)
		}
		number = account.Uid
	}
	uid, err := strconv.ParseUint(number, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("look up the user of the sockets: %w", err)
	}
	return []uint32{uint32(uid)}, nil
}

// locate finds what the configuration names by key: where the user says, else where
// the configuration does, else in a standard place. There is whether something other
// than the configuration says that this part of SPIRE is here.
func (s site) locate(key, configured string, given, standard []string) (path, from string, there bool, err error) {
	if len(given) > 0 {
		path, there = firstThere(given)
		return path, finding.Flag, there, nil
	}
	if configured != "" {
		if err = follow(key, configured); err == nil {
			return configured, s.configPath, false, nil
		}
	}
	if path, there = firstThere(standard); there {
		err = nil // SPIRE's own archive has relative paths, and this is what they mean.
	}
	return path, finding.Default, there, err
}

// follow returns why a path in the configuration can't be followed from here, or
// nil. The path itself stays out of the error, as everything of that file does.
func follow(key, path string) error {
	switch {
	case hasVariable(path):
		return failure.Errorf(failure.Malformed, "%s has an environment variable in it, which only SPIRE can expand: name the place by flag", key)
	case !filepath.IsAbs(path):
		return failure.Errorf(failure.Malformed, "%s isn't absolute, and only SPIRE knows where it was started: name the place by flag", key)
	}
	return nil
}

// hasVariable reports whether SPIRE's option -expandEnv would change the text.
func hasVariable(text string) bool { return strings.Contains(text, "$") }

// firstThere returns the first of paths that exists, else the first. What can't be
// looked at for want of rights exists.
func firstThere(paths []string) (path string, there bool) {
	for _, path := range paths {
		if _, err := os.Stat(path); err == nil || errors.Is(err, fs.ErrPermission) {
			return path, true
		}
	}
	return paths[0], false
}
