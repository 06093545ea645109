package systemd

import (
	"slices"
	"strings"
	"testing"
)

func TestValidateName(t *testing.T) {
	tests := []struct {
		name string
		unit string
		want string // part of the error, "" for a valid name
	}{
		{"plain", "cert-monitor.timer", ""},
		{"instance", "renew@web.timer", ""},
		{"escaped instance", `check@srv-a\x2db.timer`, ""},
		{"dots, colons, underscores", "a.b:c_d.timer", ""},
		{"longest", strings.Repeat("a", 249) + ".timer", ""},
		{"too long", strings.Repeat("a", 250) + ".timer", "longer than 255"},
		{"template", "renew@.timer", "is a template: name an instance, such as renew@INSTANCE.timer"},
		{"service", "cert-monitor.service", "doesn't end in .timer"},
		{"no suffix", "cert-monitor", "doesn't end in .timer"},
		{"empty", "", "doesn't end in .timer"},
		{"suffix only", ".timer", "has nothing before"},
		{"instance of nothing", "@web.timer", "has nothing before"},
		{"path", "../etc/passwd.timer", "at byte 2"},
		{"space", "cert monitor.timer", "at byte 4"},
		{"glob", "*.timer", "at byte 0"},
		{"zero byte", "a\x00.timer", "at byte 1"},
		{"not UTF-8", "a\xff.timer", "at byte 1"},
		{"not ASCII", "über.timer", "at byte 0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := validateName(tt.unit, "timer")
			if tt.want == "" && err != nil {
				t.Errorf("validateName(%q): got %v, want it to be valid", tt.unit, err)
			}
			if tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("validateName(%q): got %v, want an error with %q", tt.unit, err, tt.want)
			}
		})
	}
}

func TestSocketPaths(t *testing.T) {
	tests := []struct {
		name    string
		address string
		want    []string // nil: an error
	}{
		{"standard", "unix:path=/run/dbus/system_bus_socket", []string{"/run/dbus/system_bus_socket"}},
		{"guid", "unix:path=/run/bus,guid=0123", []string{"/run/bus"}},
		{"abstract", "unix:abstract=/tmp/bus", []string{"@/tmp/bus"}},
		{"escaped", "unix:path=/run/a%20b%3b", []string{"/run/a b;"}},
		{"list", "unix:path=/a;unix:path=/b", []string{"/a", "/b"}},
		{"other transports are passed over", "tcp:host=::1,port=1;unix:path=/b", []string{"/b"}},
		{"commands aren't run", "unixexec:path=/bin/sh", nil},
		{"no path", "unix:tmpdir=/tmp", nil},
		{"wrong escape", "unix:path=/a%2", nil},
		{"not an address", "/run/dbus/system_bus_socket", nil},
		{"empty", "", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := socketPaths(tt.address)
			if !slices.Equal(got, tt.want) || (err != nil) != (tt.want == nil) {
				t.Errorf("socketPaths(%q): got %q, %v, want %q", tt.address, got, err, tt.want)
			}
		})
	}
}
