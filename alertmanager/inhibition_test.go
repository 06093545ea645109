package alertmanager_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"funlab.casa/attestation_exporter/internal/tower/child"
	"funlab.casa/attestation_exporter/internal/tower/scale"
)

// faster turns the digest's 5 minutes into 3 seconds and the pager's 30 seconds
// into 300 milliseconds.
const faster = 100

// An inhibitionCase posts its alerts on a host of its own, so that all cases run
// at once in one Alertmanager.
type inhibitionCase struct {
	name   string
	alerts []map[string]string
	want   []string // alert names that arrive, those of the others must not
}

func inhibitionCases() []inhibitionCase {
	alert := func(name, severity, layer string, labels ...string) map[string]string {
		all := map[string]string{"alertname": name, "severity": severity, "layer": layer}
		for i := 0; i < len(labels); i += 2 {
			all[labels[i]] = labels[i+1]
		}
		return all
	}
	certificate := func(name, severity, file string) map[string]string {
		return alert(name, severity, "certificate", "kind", "file", "name", file)
	}
	bundle := func(name, severity, file string) map[string]string {
		return alert(name, severity, "trust-bundle", "bundle", file, "trust_domain", "funlab.casa")
	}
	timer := func(name, unit string) map[string]string { return alert(name, "warning", "timer", "timer", unit) }
	disk := func(name, severity, device string) map[string]string {
		return alert(name, severity, "disk", "device", device)
	}
	spire := func(name, severity, domain string) map[string]string {
		return alert(name, severity, "spire", "trust_domain", domain)
	}
	svid := func(name, severity, kind string) map[string]string {
		return alert(name, severity, "certificate", "kind", kind, "name", "spiffe://funlab.casa/of-a-"+kind)
	}
	agent := func(name, id string) map[string]string {
		return alert(name, "critical", "keylime", "agent", id, "verifier", "of-"+id)
	}
	down := alert("AttestationExporterDown", "critical", "monitoring")
	return []inhibitionCase{
		{
			"a host down hides the rest of it",
			[]map[string]string{
				down,
				alert("TPMUnavailable", "critical", "tpm"),
				certificate("CertificateExpired", "critical", "a.crt"),
				bundle("TrustBundleUnreadable", "critical", "b.pem"),
				timer("TimerNotRunning", "c.timer"),
				alert("AttestationCollectorFailing", "warning", "monitoring", "collector", "timer"),
			},
			[]string{"AttestationExporterDown"},
		},
		{
			"a host down hides neither integrity nor the monitoring's own",
			[]map[string]string{
				down,
				alert("AttestationWatchdog", "none", "monitoring"),
				alert("AttestationParameterMissing", "critical", "monitoring", "parameter", "timer_overdue_seconds"),
				alert("KeylimeIntegrityFailure", "critical", "keylime", "agent", "u"),
				alert("SPIRETrustsFailedAgent", "critical", "spire", "agent", "u"),
				alert("KeylimeAgentClaimedTwice", "critical", "keylime", "agent", "u"),
			},
			[]string{
				"AttestationExporterDown", "AttestationParameterMissing", "AttestationWatchdog",
				"KeylimeAgentClaimedTwice", "KeylimeIntegrityFailure", "SPIRETrustsFailedAgent",
			},
		},
		{
			"a TPM that is gone hides that the agent is, and what comes of it",
			[]map[string]string{
				alert("TPMUnavailable", "critical", "tpm"),
				alert("KeylimeLocalAgentDown", "critical", "keylime"),
				agent("KeylimeAgentGivenUp", "a"), agent("KeylimeAttestationStale", "a"), agent("KeylimeIntegrityFailure", "a"),
			},
			[]string{"KeylimeIntegrityFailure", "TPMUnavailable"},
		},
		{
			"an agent that is gone hides that it is given up",
			[]map[string]string{
				alert("KeylimeLocalAgentDown", "critical", "keylime"),
				agent("KeylimeAgentGivenUp", "b"), agent("KeylimeAttestationStale", "b"), agent("KeylimeIntegrityFailure", "b"),
			},
			[]string{"KeylimeIntegrityFailure", "KeylimeLocalAgentDown"},
		},
		{
			"a silent verifier hides what it said of its agents, but for a refusal",
			[]map[string]string{
				alert("KeylimeVerifierUnreachable", "critical", "keylime", "verifier", "of-c"),
				alert("KeylimeNobodyAttested", "critical", "keylime", "verifier", "of-c"),
				agent("KeylimeAgentGivenUp", "c"), agent("KeylimeAttestationStale", "c"), agent("KeylimeAgentStopped", "c"),
				agent("KeylimeIntegrityFailure", "c"), alert("KeylimeLocalAgentDown", "critical", "keylime"),
			},
			[]string{"KeylimeIntegrityFailure", "KeylimeLocalAgentDown", "KeylimeVerifierUnreachable"},
		},
		{
			"a verifier that attests nobody hides its agents, but for refused and stopped ones",
			[]map[string]string{
				alert("KeylimeNobodyAttested", "critical", "keylime", "verifier", "of-d"),
				agent("KeylimeAgentGivenUp", "d"), agent("KeylimeAttestationStale", "d"), agent("KeylimeAgentStopped", "d"),
				agent("KeylimeIntegrityFailure", "d"),
			},
			[]string{"KeylimeAgentStopped", "KeylimeIntegrityFailure", "KeylimeNobodyAttested"},
		},
		{
			"another verifier hides nothing",
			[]map[string]string{
				alert("KeylimeVerifierUnreachable", "critical", "keylime", "verifier", "of-e"),
				alert("KeylimeNobodyAttested", "critical", "keylime", "verifier", "of-f"),
				agent("KeylimeAttestationStale", "g"), agent("KeylimeAgentGivenUp", "g"),
			},
			[]string{"KeylimeAgentGivenUp", "KeylimeAttestationStale", "KeylimeNobodyAttested", "KeylimeVerifierUnreachable"},
		},
		{
			"a reader that is silent hides what it would read",
			[]map[string]string{
				alert("AttestationReaderDown", "critical", "monitoring"),
				alert("AttestationCollectorFailing", "warning", "monitoring", "collector", "luks"),
				alert("TPMUnavailable", "critical", "tpm"),
				alert("KeylimeVerifierUnreachable", "critical", "keylime", "verifier", "of-r"),
				alert("KeylimeRegistrarUnreachable", "warning", "keylime"),
				alert("SPIREAgentDown", "critical", "spire"),
				spire("SPIREServerDown", "critical", "reader.example"),
				bundle("TrustBundleUnreadable", "critical", "b.pem"),
				alert("KeylimeIntegrityFailure", "critical", "keylime", "agent", "r"),
				certificate("CertificateExpired", "critical", "r.crt"),
			},
			[]string{"AttestationReaderDown", "CertificateExpired", "KeylimeIntegrityFailure"},
		},
		{
			"a PCR changed at run time hides the baseline and the log",
			[]map[string]string{
				alert("TPMPCRChangedWhileRunning", "critical", "tpm", "pcr", "7"),
				alert("TPMPCRMismatch", "warning", "tpm", "pcr", "7"),
				alert("BootEventLogMismatch", "critical", "boot", "pcr", "7"),
				alert("TPMCleared", "critical", "tpm"),
			},
			[]string{"TPMCleared", "TPMPCRChangedWhileRunning"},
		},
		{
			"a log that no longer fits hides nothing",
			[]map[string]string{
				alert("BootEventLogMismatch", "critical", "boot", "pcr", "4"),
				alert("TPMPCRMismatch", "warning", "tpm", "pcr", "4"),
			},
			[]string{"BootEventLogMismatch", "TPMPCRMismatch"},
		},
		{
			"a disk without a passphrase hides that it waits for one; another disk does not",
			[]map[string]string{
				disk("DiskWithoutFallback", "critical", "/dev/a"),
				disk("DiskUnlockWillFail", "warning", "/dev/a"),
				disk("DiskUnlockAtRisk", "warning", "/dev/b"),
			},
			[]string{"DiskUnlockAtRisk", "DiskWithoutFallback"},
		},
		{
			"of one disk, at risk is hidden as well",
			[]map[string]string{
				disk("DiskWithoutFallback", "critical", "/dev/a"),
				disk("DiskUnlockAtRisk", "warning", "/dev/a"),
			},
			[]string{"DiskWithoutFallback"},
		},
		{
			"a SPIRE server that is down hides that its agents lost it, and nothing that they still do",
			[]map[string]string{
				spire("SPIREServerDown", "critical", "one.example"),
				spire("SPIREAgentNotSyncing", "critical", "one.example"),
				spire("SPIREAgentDown", "critical", "one.example"),
				bundle("TrustBundleExpiringSoon", "warning", "of-another-domain.pem"),
				alert("TrustBundleUnreadable", "critical", "trust-bundle", "bundle", "a.pem", "trust_domain", "one.example"),
				alert("SPIREPluginChecksumMismatch", "critical", "spire"),
				alert("SPIRETrustsFailedAgent", "critical", "spire", "agent", "x", "trust_domain", "one.example"),
			},
			[]string{"SPIREPluginChecksumMismatch", "SPIREServerDown", "SPIRETrustsFailedAgent", "TrustBundleExpiringSoon"},
		},
		{
			"the SPIRE server of another trust domain hides nothing",
			[]map[string]string{
				spire("SPIREServerDown", "critical", "two.example"),
				spire("SPIREAgentNotSyncing", "critical", "three.example"),
				spire("SPIREAgentExpired", "warning", "three.example"),
			},
			[]string{"SPIREAgentExpired", "SPIREAgentNotSyncing", "SPIREServerDown"},
		},
		{
			"a SPIRE agent that has lost its server hides what it can't renew, and no other certificate",
			[]map[string]string{
				spire("SPIREAgentNotSyncing", "critical", "three.example"),
				spire("SPIREAgentNotRenewing", "warning", "three.example"),
				svid("CertificateExpiryCritical", "critical", "agent_svid"), svid("CertificateExpired", "critical", "svid"),
				certificate("CertificateExpiringSoon", "warning", "n.crt"),
			},
			[]string{"CertificateExpiringSoon", "SPIREAgentNotSyncing"},
		},
		{
			"nor does one whose trust domain nobody knows",
			[]map[string]string{
				alert("SPIREServerDown", "critical", "spire"),
				alert("SPIREAgentNotSyncing", "critical", "spire"),
			},
			[]string{"SPIREAgentNotSyncing", "SPIREServerDown"},
		},
		{
			"a SPIRE agent that is down hides what comes of it, and no other certificate",
			[]map[string]string{
				alert("SPIREAgentDown", "critical", "spire"),
				spire("SPIREAgentNotSyncing", "critical", "four.example"),
				spire("SPIREAgentNotRenewing", "warning", "four.example"),
				spire("SPIREAgentExpired", "warning", "four.example"),
				svid("CertificateExpired", "critical", "agent_svid"), svid("CertificateExpiringSoon", "warning", "svid"),
				certificate("CertificateExpiryCritical", "critical", "a.crt"),
				alert("SPIREPluginChecksumMismatch", "critical", "spire"),
			},
			[]string{"CertificateExpiryCritical", "SPIREAgentDown", "SPIREPluginChecksumMismatch"},
		},
		{
			"nothing of a host hides an integrity alert",
			[]map[string]string{
				down, alert("TPMUnavailable", "critical", "tpm"), alert("TPMPCRChangedWhileRunning", "critical", "tpm"),
				alert("KeylimeLocalAgentDown", "critical", "keylime"), alert("SPIREAgentDown", "critical", "spire"),
				spire("SPIREServerDown", "critical", "five.example"), disk("DiskWithoutFallback", "critical", "/dev/a"),
				alert("KeylimeVerifierUnreachable", "critical", "keylime", "verifier", "of-h"),
				alert("KeylimeNobodyAttested", "critical", "keylime", "verifier", "of-h"),
				agent("KeylimeIntegrityFailure", "h"),
				alert("SPIRETrustsFailedAgent", "critical", "spire", "agent", "h", "trust_domain", "five.example"),
				alert("KeylimeAgentClaimedTwice", "critical", "keylime", "agent", "h"),
			},
			[]string{"AttestationExporterDown", "KeylimeAgentClaimedTwice", "KeylimeIntegrityFailure", "SPIRETrustsFailedAgent"},
		},
		{
			"an expired certificate hides what came before",
			[]map[string]string{
				certificate("CertificateExpired", "critical", "a.crt"),
				certificate("CertificateExpiryCritical", "critical", "a.crt"),
				certificate("CertificateExpiringSoon", "warning", "a.crt"),
				certificate("CertificateChainInvalid", "critical", "a.crt"),
			},
			[]string{"CertificateChainInvalid", "CertificateExpired"},
		},
		{
			"critical hides soon",
			[]map[string]string{
				certificate("CertificateExpiryCritical", "critical", "a.crt"),
				certificate("CertificateExpiringSoon", "warning", "a.crt"),
			},
			[]string{"CertificateExpiryCritical"},
		},
		{
			"another certificate hides nothing",
			[]map[string]string{
				certificate("CertificateExpired", "critical", "a.crt"),
				certificate("CertificateExpiringSoon", "warning", "b.crt"),
			},
			[]string{"CertificateExpired", "CertificateExpiringSoon"},
		},
		{
			"an unreadable bundle hides the rest of it",
			[]map[string]string{
				bundle("TrustBundleUnreadable", "critical", "b.pem"),
				bundle("TrustBundleExpiryCritical", "critical", "b.pem"),
				bundle("TrustBundleExpiringSoon", "warning", "b.pem"),
			},
			[]string{"TrustBundleUnreadable"},
		},
		{
			"of one bundle, critical hides soon; another stays",
			[]map[string]string{
				bundle("TrustBundleExpiryCritical", "critical", "b.pem"),
				bundle("TrustBundleExpiringSoon", "warning", "b.pem"),
				bundle("TrustBundleUnreadable", "critical", "c.pem"),
			},
			[]string{"TrustBundleExpiryCritical", "TrustBundleUnreadable"},
		},
		{
			"a timer that does not run hides that it is late; another timer does not",
			[]map[string]string{timer("TimerNotRunning", "a.timer"), timer("TimerOverdue", "a.timer"), timer("TimerServiceFailed", "a.timer")},
			[]string{"TimerNotRunning", "TimerServiceFailed"},
		},
		{
			"another timer hides nothing",
			[]map[string]string{timer("TimerNotRunning", "a.timer"), timer("TimerOverdue", "b.timer")},
			[]string{"TimerNotRunning", "TimerOverdue"},
		},
	}
}

// TestInhibition posts alerts to a real Alertmanager with the shipped example, and
// compares what its receivers get. The only difference to the shipped file is
// scale.Alertmanager: shorter waits, and every receiver a webhook of this test.
func TestInhibition(t *testing.T) {
	box := newMailbox(t)
	am := startAlertmanager(t, box.url)
	cases := inhibitionCases()
	var alerts []postedAlert
	for i, c := range cases {
		for _, labels := range c.alerts {
			labels = maps.Clone(labels)
			labels["host"] = hostOf(i)
			alerts = append(alerts, postedAlert{Labels: labels, StartsAt: time.Now(), EndsAt: time.Now().Add(time.Hour)})
		}
	}
	am.post(t, alerts)

	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for i, c := range cases {
		box.await(ctx, hostOf(i), c.want)
	}
	// Whatever else might still come is asked of Alertmanager itself.
	active := am.active(t)
	for i, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := box.names(hostOf(i)); !slices.Equal(got, c.want) {
				t.Errorf("notified: got %q, want %q", got, c.want)
			}
			if got := active[hostOf(i)]; !slices.Equal(got, c.want) {
				t.Errorf("not inhibited: got %q, want %q", got, c.want)
			}
		})
	}
}

func hostOf(i int) string { return fmt.Sprintf("host-%d", i) }

type postedAlert struct {
	Labels   map[string]string `json:"labels"`
	StartsAt time.Time         `json:"startsAt"`
	EndsAt   time.Time         `json:"endsAt"`
}

// A mailbox keeps the names of the alerts that were delivered, by host.
type mailbox struct {
	url string

	mu    sync.Mutex
	news  chan struct{}
	hosts map[string][]string
}

func newMailbox(t *testing.T) *mailbox {
	t.Helper()
	box := &mailbox{hosts: map[string][]string{}, news: make(chan struct{})}
	server := httptest.NewServer(http.HandlerFunc(box.receive))
	t.Cleanup(server.Close)
	box.url = server.URL
	return box
}

func (b *mailbox) receive(w http.ResponseWriter, r *http.Request) {
	var message struct {
		Alerts []struct {
			Labels map[string]string `json:"labels"`
		} `json:"alerts"`
	}
	if err := json.NewDecoder(r.Body).Decode(&message); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, alert := range message.Alerts {
		host, name := alert.Labels["host"], alert.Labels["alertname"]
		if !slices.Contains(b.hosts[host], name) {
			b.hosts[host] = append(b.hosts[host], name)
			slices.Sort(b.hosts[host])
		}
	}
	close(b.news)
	b.news = make(chan struct{})
}

func (b *mailbox) names(host string) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.hosts[host])
}

// await returns when all the names arrived, or ctx ended.
func (b *mailbox) await(ctx context.Context, host string, names []string) {
	for {
		b.mu.Lock()
		got, news := b.hosts[host], b.news
		missing := slices.ContainsFunc(names, func(name string) bool { return !slices.Contains(got, name) })
		b.mu.Unlock()
		if !missing {
			return
		}
		select {
		case <-news:
		case <-ctx.Done():
			return
		}
	}
}

// An alertmanager is a running process, by its address.
type alertmanager struct{ url string }

func startAlertmanager(t *testing.T, webhook string) alertmanager {
	t.Helper()
	content, err := os.ReadFile(shipped)
	if err != nil {
		t.Fatal(err)
	}
	config, err := scale.Alertmanager(content, faster, webhook)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, shipped), config, 0o600); err != nil {
		t.Fatal(err)
	}
	address, err := child.FreeAddress(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(tool(t, "alertmanager"),
		"--config.file="+filepath.Join(dir, shipped), "--storage.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+address, "--cluster.listen-address=")
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	program, err := child.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		program.Stop()
		if t.Failed() {
			t.Logf("alertmanager said\n%s", log.String())
		}
	})
	am := alertmanager{url: "http://" + address}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := program.Answers(ctx, am.url+"/-/ready"); err != nil {
		t.Fatal(err)
	}
	return am
}

func (a alertmanager) do(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, a.url+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	content, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s: %s: %s", method, path, answer.Status, strings.TrimSpace(string(content)))
	}
	return content, err
}

func (a alertmanager) post(t *testing.T, alerts []postedAlert) {
	t.Helper()
	body, err := json.Marshal(alerts)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.do(t.Context(), http.MethodPost, "/api/v2/alerts", body); err != nil {
		t.Fatal(err)
	}
}

// active returns the names of the alerts that nothing inhibits, by host.
func (a alertmanager) active(t *testing.T) map[string][]string {
	t.Helper()
	content, err := a.do(t.Context(), http.MethodGet, "/api/v2/alerts?inhibited=false", nil)
	if err != nil {
		t.Fatal(err)
	}
	var alerts []struct {
		Labels map[string]string `json:"labels"`
	}
	if err := json.Unmarshal(content, &alerts); err != nil {
		t.Fatal(err)
	}
	hosts := map[string][]string{}
	for _, alert := range alerts {
		host := alert.Labels["host"]
		hosts[host] = append(hosts[host], alert.Labels["alertname"])
	}
	for _, names := range hosts {
		slices.Sort(names)
	}
	return hosts
}
