package systemd

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"funlab.casa/attestation_exporter/internal/tower/bus"
)

// FuzzDecode decodes what claims to be the properties of a unit, as a timer and as
// a service. Whatever is accepted must be fit to be served and to go through JSON.
func FuzzDecode(f *testing.F) {
	dir := filepath.Join(recordings, "boot")
	for _, pattern := range []string{"*.Unit.json", "*.Timer.json", "*.Service.json"} {
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil || len(files) == 0 {
			f.Fatalf("no recorded answers %s: %v", pattern, err)
		}
		for _, file := range files {
			f.Add(whatIsRead(f, file), int64(27*time.Second))
		}
	}
	// What one answer leaves out, units in good health fill in.
	healthy := recordedProperties(f, dir, "cert-monitor.timer", "Unit", "Timer")
	maps.Copy(healthy, recordedProperties(f, dir, "lab-failing.service", "Service"))
	f.Fuzz(func(t *testing.T, answer []byte, uptime int64) {
		variants, err := bus.ParseProperties(answer)
		if err != nil {
			return
		}
		values := maps.Clone(healthy)
		for name, variant := range variants {
			values[name] = variant.Value()
		}
		clock := Clock{Realtime: noon().Realtime, Monotonic: time.Duration(uptime)}
		timer, err := decodeTimer("fuzzed.timer", values, clock)
		if err == nil {
			if service, err := decodeService("fuzzed.service", values); err == nil {
				service = recall(service, knownService{})
				timer.Service = &service.Service
			}
			fit(t, timer.Timer)
		}
	})
}

// whatIsRead shortens a recorded answer to the properties that are decoded, so that
// the fuzzer needn't find out what can be left out.
func whatIsRead(f *testing.F, file string) []byte {
	f.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		f.Fatal(err)
	}
	var answer struct {
		Type string                       `json:"type"`
		Data []map[string]json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(content, &answer); err != nil {
		f.Fatal(err)
	}
	read := regexp.MustCompile(`^(LoadState|ActiveState|SubState|Transient|Unit|Result|.*USec.*|ExecMain.*Timestamp|Inactive.*Timestamp|StateChangeTimestampMonotonic)$`)
	maps.DeleteFunc(answer.Data[0], func(name string, _ json.RawMessage) bool {
		return !read.MatchString(name) || strings.Contains(name, "Timeout")
	})
	short, err := json.Marshal(answer)
	if err != nil {
		f.Fatal(err)
	}
	return short
}

func fit(t *testing.T, timer Timer) {
	t.Helper()
	if _, err := json.Marshal(timer); err != nil {
		t.Errorf("as JSON: %v", err)
	}
	if timer.DelayMax != nil && *timer.DelayMax < 0 {
		t.Errorf("delay: got %v", *timer.DelayMax)
	}
	for _, state := range []string{timer.LoadState, timer.ActiveState, timer.SubState} {
		if state == "" || len(state) > maxStateLength {
			t.Errorf("state: got %d bytes", len(state))
		}
	}
	if s := timer.Service; s != nil && s.Success != nil && *s.Success && s.LastStart.IsZero() {
		t.Errorf("service: got a success of a service that never ran: %+v", *s)
	}
}
