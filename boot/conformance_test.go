//go:build conformance

package boot_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// lab is a virtual machine with a measured boot. LAB_DIR has the labs, of which vm
// is wanted, and VM_DIR a guest that vm/build has made; it isn't changed.
type lab struct {
	t     *testing.T
	run   string
	guest string
	share string
}

func newLab(t *testing.T) lab {
	t.Helper()
	labs, built := os.Getenv("LAB_DIR"), os.Getenv("VM_DIR")
	if labs == "" || built == "" {
		t.Fatal("LAB_DIR (the folder with the labs) and VM_DIR (a guest that LAB_DIR/vm/build has made) must be set; make conformance says how")
	}
	l := lab{t: t, run: filepath.Join(labs, "vm/run"), guest: filepath.Join(t.TempDir(), "guest"), share: t.TempDir()}
	l.command("cp", "-r", "--sparse=always", built, l.guest)
	build := exec.Command("go", "test", "-c", "-tags", "guest", "-o", filepath.Join(l.share, "guest.test"), ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the guest's tests: %v\n%s", err, text)
	}
	return l
}

func (l lab) command(name string, arguments ...string) string {
	l.t.Helper()
	text, err := exec.CommandContext(l.t.Context(), name, arguments...).CombinedOutput()
	if err != nil {
		l.t.Fatalf("%s: %v\n%s", name, err, text)
	}
	return string(text)
}

// boot starts the guest and runs a script in it as root.
func (l lab) boot(script string) string {
	l.t.Helper()
	const prologue = `set -eu
export TMPDIR=/run
disk=/dev/disk/by-id/virtio-labluks
mount /dev/disk/by-partlabel/lab-esp /boot/efi
printf lab-passphrase >/run/key
cryptsetup open --key-file /run/key $disk data
expose() { GUEST_OUTPUT=/share/$1 /share/guest.test -test.run '^TestExposition$'; }
unlocks() { cryptsetup close data; if clevis luks unlock -d $disk -n data; then echo UNLOCKED; else echo REFUSED; fi; }
`
	if err := os.WriteFile(filepath.Join(l.share, "script"), []byte(prologue+script), 0o600); err != nil {
		l.t.Fatal(err)
	}
	text := l.command(l.run, "--persist", "--share", l.share, l.guest, "--", "bash", "/share/script")
	l.t.Log(text)
	return text
}

// exposed returns the values of a metric in a file that expose has written, by the
// values of its labels.
func (l lab) exposed(file, metric string, labels ...model.LabelName) map[string]float64 {
	l.t.Helper()
	text, err := os.ReadFile(filepath.Join(l.share, file))
	if err != nil {
		l.t.Fatal(err)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		l.t.Fatal(err)
	}
	values := map[string]float64{}
	for _, m := range families[metric].GetMetric() {
		var key []string
		for _, pair := range m.GetLabel() {
			if slices.Contains(labels, model.LabelName(pair.GetName())) {
				key = append(key, pair.GetValue())
			}
		}
		values[strings.Join(key, " ")] = m.GetGauge().GetValue()
	}
	return values
}

func (l lab) want(file, metric string, label model.LabelName, want map[string]float64) {
	l.t.Helper()
	got := l.exposed(file, metric, label)
	for key, value := range want {
		if found, ok := got[key]; !ok || found != value {
			l.t.Errorf("%s: %s{%s=%q}: got %v, want %v", file, metric, label, key, got[key], value)
		}
	}
	if len(got) != len(want) {
		l.t.Errorf("%s: %s: got %v, want %v", file, metric, got, want)
	}
}

const (
	satisfied = "attestation_luks_binding_satisfied"
	fileMatch = "attestation_boot_file_matches_measured"
)

// TestStory strands a real host, with a real firmware, boot loader and disk, and
// tells it before the reboot.
func TestStory(t *testing.T) {
	l := newLab(t)
	first := l.boot(`expose bound
/share/guest.test -test.run '^(TestPolicy|TestHeaderByCryptsetup)$' -test.v -test.bench . -test.benchtime 20x
unlocks
sed -i 's/set default=newest/set default=other/' /boot/grub/grub.cfg
expose updated
`)
	if !strings.Contains(first, "UNLOCKED") {
		t.Error("bound: clevis did not unlock the disk")
	}
	l.want("bound", satisfied, "token", map[string]float64{"0": 1, "1": 1, "2": 1})
	l.want("bound", "attestation_boot_forecast_available", "", map[string]float64{"": 1})
	for _, file := range []string{"bound", "updated"} {
		for path, matches := range l.exposed(file, fileMatch, "path") {
			isOther := file == "updated" && strings.HasPrefix(path, "/boot/vmlinuz-")
			if (matches == 0) != isOther {
				t.Errorf("%s: %s: got match %v", file, path, matches)
			}
		}
		if got := l.exposed(file, "attestation_boot_event_log_matches", "pcr"); len(got) != 8 || slices.Contains(mapValues(got), 0) {
			t.Errorf("%s: event log: got %v, want all of PCR 0 to 7 to match", file, got)
		}
	}
	l.want("updated", satisfied, "token", map[string]float64{"0": 1, "1": 1, "2": 1})

	second := l.boot(`expose stranded
unlocks
cryptsetup open --key-file /run/key $disk data
for slot in 1 2; do
	clevis luks unbind -f -d $disk -s $slot
	clevis luks bind -y -k /run/key -d $disk tpm2 '{"pcr_bank":"sha256","pcr_ids":"0,2,4,7"}'
done
expose rebound
`)
	if !strings.Contains(second, "REFUSED") {
		t.Error("stranded: clevis unlocked the disk")
	}
	l.want("stranded", satisfied, "token", map[string]float64{"0": 0, "1": 0, "2": 0})
	l.want("rebound", satisfied, "token", map[string]float64{"0": 1, "1": 1, "2": 0})

	third := l.boot("expose again\nunlocks\n")
	if !strings.Contains(third, "UNLOCKED") {
		t.Error("bound anew: clevis did not unlock the disk")
	}
	l.want("again", satisfied, "token", map[string]float64{"0": 1, "1": 1, "2": 0})
}

func mapValues(values map[string]float64) []float64 {
	var all []float64
	for _, value := range values {
		all = append(all, value)
	}
	return all
}
