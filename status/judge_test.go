package status

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

const (
	serverAgent = "5e1f0c9a-70b4-4d2e-9a53-1c6f2b8d7e04"
	hostAgent   = "c2a94d17-3b86-4f0e-8d75-0e9b61f4a3d8"
)

func serverHost(t testing.TB, edits ...string) Answer {
	return Answer{Host: "spire", Samples: fixture(t, "server.prom", edits...)}
}

func agentHost(t testing.TB, edits ...string) Answer {
	return Answer{Host: "auth", Samples: fixture(t, "agent.prom", edits...)}
}

// troubles are the rows that need a person, in short.
func troubles(report Report) []string {
	var short []string
	for _, row := range report.Rows {
		if row.State != OK {
			short = append(short, fmt.Sprintf("%s %s %s", row.State, row.Host, row.Alert))
		}
	}
	return slices.Compact(short)
}

func TestHealthyNeedsNobody(t *testing.T) {
	report := Judge([]Answer{serverHost(t), agentHost(t)}, fixtureNow)
	if got := troubles(report); len(got) > 0 || report.State != OK {
		t.Errorf("got %v, %q, want nothing", report.State, got)
	}
}

// A troubleCase changes one thing of two healthy hosts.
type troubleCase struct {
	name          string
	server, agent []string // edits of their expositions
	want          []string // exactly what it means
	// also are alerts that the rules fire beside, which Alertmanager inhibits or
	// which the screen tells by another row.
	also []alert
}

func troubleCases() []troubleCase {
	value := func(metric, before, after string) []string {
		return []string{metric + " " + before + "\n", metric + " " + after + "\n"}
	}
	gone := func(line string) []string { return []string{line + "\n", ""} }
	agentState := `attestation_keylime_agent_operational_state{agent="` + hostAgent + `"}`
	serverState := `attestation_keylime_agent_operational_state{agent="` + serverAgent + `"}`
	agentSuccess := `attestation_keylime_agent_last_success_timestamp_seconds{agent="` + hostAgent + `"}`
	serverSuccess := `attestation_keylime_agent_last_success_timestamp_seconds{agent="` + serverAgent + `"}`
	agentSVID := `attestation_spire_server_agent_svid_not_after_timestamp_seconds{spiffe_id="spiffe://funlab.casa/spire/agent/keylime/` + hostAgent + `"}`
	renewal := `{timer="keylime-cert-renewal.timer"}`
	renewalService := `{service="keylime-cert-renewal.service",timer="keylime-cert-renewal.timer"}`
	binding := func(token string) string {
		return `attestation_luks_binding_satisfied{bank="sha256",device="/dev/nvme0n1p3",pcrs="0,2,4,7",token="` + token + `",type="clevis"}`
	}
	noOtherSlot := value(`attestation_luks_keyslots{device="/dev/nvme0n1p3",type="other"}`, "1", "0")
	kernel := value(`attestation_boot_file_matches_measured{path="/boot/vmlinuz-6.12.0-1-amd64",pcr="4"}`, "1", "0")
	agentCertificate := `attestation_certificate_not_after_timestamp_seconds{kind="file",name="/etc/keylime/certs/agent.crt"}`
	bundleEnd := `attestation_trust_bundle_last_expiry_timestamp_seconds{bundle="/etc/spire/trust-bundle.pem",trust_domain="funlab.casa"}`
	bundleValid := `attestation_trust_bundle_authorities{bundle="/etc/spire/trust-bundle.pem",state="valid",trust_domain="funlab.casa"}`

	return []troubleCase{
		{"collector fails", nil, value(`attestation_scrape_collector_success{collector="timer"}`, "1", "0"), []string{"WARNING auth AttestationCollectorFailing"}, nil},
		{"reader doesn't answer", nil, []string{`attestation_scrape_collector_success{collector="timer"} 1`, `attestation_scrape_collector_success{collector="timer"} 1` + "\n" + `attestation_scrape_collector_success{collector="reader"} 0`}, []string{"CRITICAL auth AttestationReaderDown"}, nil},
		{"TPM can't be read", nil, value(`attestation_scrape_collector_success{collector="tpm"}`, "1", "0"), []string{"CRITICAL auth TPMUnavailable"}, nil},
		{"PCR differs", nil, value(`attestation_tpm_pcr_matches_baseline{bank="sha256",pcr="4"}`, "1", "0"), []string{"WARNING auth TPMPCRMismatch"}, nil},
		{"locked out", nil, value("attestation_tpm_locked_out", "0", "1"), []string{"CRITICAL auth TPMLockedOut"}, nil},
		{"self-test", nil, value("attestation_tpm_self_test_passed", "1", "0"), []string{"CRITICAL auth TPMSelfTestFailed"}, nil},
		{"one of two bindings fails", nil, value(binding("0"), "1", "0"), nil, nil},
		{"both bindings fail", nil, slices.Concat(value(binding("0"), "1", "0"), value(binding("1"), "1", "0")), []string{"WARNING auth DiskUnlockWillFail"}, nil},
		{"both bindings fail, no passphrase", nil, slices.Concat(value(binding("0"), "1", "0"), value(binding("1"), "1", "0"), noOtherSlot), []string{"CRITICAL auth DiskWithoutFallback"}, []alert{diskUnlockWillFail}},
		{"a binding that can't be foretold beside", nil, slices.Concat(value(binding("0"), "1", "0"), gone(binding("1")+" 1"),
			value(`attestation_luks_binding_foretellable{device="/dev/nvme0n1p3",token="1",type="clevis"}`, "1", "0")), nil, nil},
		{"another kernel", nil, kernel, []string{"WARNING auth DiskUnlockAtRisk"}, nil},
		{"another kernel, no passphrase", nil, slices.Concat(kernel, noOtherSlot), []string{"CRITICAL auth DiskWithoutFallback"}, []alert{diskUnlockAtRisk}},
		{"another kernel, a binding without its PCR", nil, slices.Concat(kernel, gone(`attestation_luks_binding_pcr_info{bank="sha256",device="/dev/nvme0n1p3",pcr="4",token="1"} 1`)), nil, nil},
		{"no passphrase, but nothing is wrong", nil, noOtherSlot, nil, nil},

		{"verifier silent", value(`attestation_keylime_verifier_up{verifier="default"}`, "1", "0"), nil, []string{"CRITICAL spire KeylimeVerifierUnreachable"}, nil},
		{"registrar silent", value("attestation_keylime_registrar_up", "1", "0"), nil, []string{"WARNING spire KeylimeRegistrarUnreachable"}, nil},
		{"quote refused", slices.Concat(value(agentState, "3", "9"), value(agentSVID, "1800002400", "1799999000")), nil,
			[]string{"CRITICAL auth KeylimeIntegrityFailure", "WARNING auth SPIREAgentExpired"}, nil},
		{"quote refused, SVID valid", value(agentState, "3", "9"), nil, []string{"CRITICAL auth KeylimeIntegrityFailure", "CRITICAL auth SPIRETrustsFailedAgent"}, nil},
		{"push failed", []string{`mode="pull"`, `mode="push"`, agentState + " 3\n",
			agentState + " 3\nattestation_keylime_agent_failure_info{agent=\"" + hostAgent + "\",event=\"other\"} 1\n"}, nil,
			[]string{"CRITICAL auth KeylimeIntegrityFailure", "CRITICAL auth SPIRETrustsFailedAgent"}, nil},
		{"stopped", value(agentState, "3", "10"), nil, []string{"CRITICAL auth SPIRETrustsFailedAgent", "WARNING auth KeylimeAgentStopped"}, nil},
		{"given up, which is no verdict", value(agentState, "3", "7"), nil, []string{"CRITICAL auth KeylimeAgentGivenUp"}, nil},
		{"stale at the limit", value(agentSuccess, "1799999995", "1799999937"), nil, nil, nil},
		{"stale", value(agentSuccess, "1799999995", "1799999936"), nil, []string{"CRITICAL auth KeylimeAttestationStale"}, nil},
		{"never attested", gone(agentSuccess + " 1799999995"), nil, []string{"CRITICAL auth KeylimeAttestationStale"}, nil},
		{"slow interval", slices.Concat(value(agentSuccess, "1799999995", "1799999836"), value(`attestation_keylime_quote_interval_seconds{verifier="default"}`, "2", "20")), nil, nil, nil},
		{"nobody attested", slices.Concat(value(agentSuccess, "1799999995", "1799990000"), value(serverSuccess, "1799999995", "1799990000")), nil,
			[]string{"CRITICAL auth KeylimeAttestationStale", "CRITICAL spire KeylimeAttestationStale", "CRITICAL spire KeylimeNobodyAttested"}, nil},
		{"nobody attested, because somebody stopped them", slices.Concat(value(agentState, "3", "10"), value(serverState, "3", "10"), value(agentSuccess, "1799999995", "1799990000"), value(serverSuccess, "1799999995", "1799990000")), nil,
			[]string{"CRITICAL auth SPIRETrustsFailedAgent", "CRITICAL spire SPIRETrustsFailedAgent", "WARNING auth KeylimeAgentStopped", "WARNING spire KeylimeAgentStopped"}, nil},
		{"the end of an EK certificate near", nil, value(`attestation_certificate_not_after_timestamp_seconds{kind="ek",name="0x01c00002"}`, "2000000000", "1800086400"), []string{"WARNING auth CertificateExpiringSoon"}, nil},
		{"the end of an EK certificate past", nil, value(`attestation_certificate_not_after_timestamp_seconds{kind="ek",name="0x01c00002"}`, "2000000000", "1799990000"), nil, nil},
		{"registered, not verified", []string{`attestation_keylime_registrar_up 1`, "attestation_keylime_registrar_up 1\nattestation_keylime_agent_registered{agent=\"new\"} 1"}, nil, []string{"WARNING spire KeylimeAgentNotVerified"}, nil},
		{"registered with the default UUID", []string{`attestation_keylime_registrar_up 1`, "attestation_keylime_registrar_up 1\nattestation_keylime_agent_registered{agent=\"" + defaultAgent + "\"} 1"}, nil,
			[]string{"WARNING spire KeylimeAgentNotVerified", "WARNING spire KeylimeDefaultUUID"}, nil},
		{"the verifier knows nobody", []string{"attestation_keylime_agent_info", "attestation_keylime_other_info"}, nil,
			[]string{"CRITICAL spire KeylimeNobodyAttested", "WARNING auth KeylimeAgentNotVerified", "WARNING spire KeylimeAgentNotVerified"}, nil},
		{"the verifier is silent, so that nobody knows whom it knows", append(value(`attestation_keylime_verifier_up{verifier="default"}`, "1", "0"), "attestation_keylime_agent_info", "attestation_keylime_other_info"), nil,
			[]string{"CRITICAL spire KeylimeVerifierUnreachable"}, nil},
		{"default UUID", nil, []string{hostAgent, defaultAgent}, []string{"WARNING auth KeylimeDefaultUUID"}, nil},
		{"claimed twice", nil, []string{hostAgent, serverAgent}, []string{"CRITICAL auth KeylimeAgentClaimedTwice", "CRITICAL spire KeylimeAgentClaimedTwice"}, nil},
		{"local agent silent", nil, value("attestation_keylime_local_agent_up", "1", "0"), []string{"CRITICAL auth KeylimeLocalAgentDown"}, nil},

		{"SPIRE server answers in part", value(`attestation_scrape_collector_success{collector="spire-server"}`, "1", "0"), nil, []string{"WARNING spire AttestationCollectorFailing"}, nil},
		{"SPIRE server down", value(`attestation_spire_server_up{trust_domain="funlab.casa"}`, "1", "0"), nil, []string{"CRITICAL spire SPIREServerDown"}, nil},
		{"SPIRE server down, another serves", value(`attestation_spire_server_up{trust_domain="funlab.casa"}`, "1", "0"),
			[]string{"attestation_spire_agent_up 1\n", "attestation_spire_agent_up 1\nattestation_spire_server_up{trust_domain=\"funlab.casa\"} 1\n"}, []string{"WARNING spire SPIREServerOneDown"}, nil},
		{"SPIRE server can't be read", slices.Concat(gone(`attestation_spire_server_up{trust_domain="funlab.casa"} 1`), value(`attestation_scrape_collector_success{collector="spire-server"}`, "1", "0")), nil, []string{"CRITICAL spire SPIREServerDown"}, nil},
		{"SPIRE agent down", nil, value("attestation_spire_agent_up", "1", "0"), []string{"CRITICAL auth SPIREAgentDown"}, nil},
		{"SPIRE agent can't be read", nil, slices.Concat(gone("attestation_spire_agent_up 1"), value(`attestation_scrape_collector_success{collector="spire-agent"}`, "1", "0")), []string{"CRITICAL auth SPIREAgentDown"}, nil},
		{"synced at the limit", nil, value("attestation_spire_agent_last_sync_timestamp_seconds", "1799999996", "1799999700"), nil, nil},
		{"not syncing", nil, value("attestation_spire_agent_last_sync_timestamp_seconds", "1799999996", "1799999699"), []string{"CRITICAL auth SPIREAgentNotSyncing"}, nil},
		{"SVID at a fifth", value(agentSVID, "1800002400", "1800000720"), nil, nil, nil},
		{"SVID below a fifth", value(agentSVID, "1800002400", "1800000719"), nil, []string{"WARNING auth SPIREAgentNotRenewing"}, nil},
		{"SVID ended", value(agentSVID, "1800002400", "1799999999"), nil, []string{"WARNING auth SPIREAgentExpired"}, nil},
		{"SVID ended, banned", slices.Concat(value(agentSVID, "1800002400", "1799999999"),
			value(`attestation_spire_server_agent_banned{spiffe_id="spiffe://funlab.casa/spire/agent/keylime/`+hostAgent+`"}`, "0", "1")), nil, nil, nil},
		{"join token", []string{`attestation_spire_server_agents{attestation_type="keylime"`, `attestation_spire_server_agents{attestation_type="join_token"`}, nil, []string{"WARNING spire SPIREUnwantedAttestation"}, nil},
		{"plugin rebuilt", value(`attestation_spire_plugin_checksum_matches{path="/opt/spire/plugins/keylime-attestor",plugin="NodeAttestor keylime"}`, "1", "0"), nil, []string{"CRITICAL spire SPIREPluginChecksumMismatch"}, nil},
		{"authority at an eighth", []string{`type="x509"} 1800072000`, `type="x509"} 1800010800`}, nil, nil, nil},
		{"authority not rotated", []string{`type="x509"} 1800072000`, `type="x509"} 1800010799`}, nil, []string{"CRITICAL spire SPIREAuthorityNotRotated"}, nil},

		{"bundle ends soon", nil, value(bundleEnd, "1800072000", "1800014399"), []string{"WARNING auth TrustBundleExpiringSoon"}, nil},
		{"bundle ends", nil, value(bundleEnd, "1800072000", "1800007199"), []string{"CRITICAL auth TrustBundleExpiryCritical"}, []alert{bundleExpiringSoon}},
		{"bundle has no valid authority", nil, value(bundleValid, "2", "0"), []string{"CRITICAL auth TrustBundleUnreadable"}, nil},
		{"bundle can't be read", nil, []string{bundleValid + " 2\n", "attestation_trust_bundle_load_failed{bundle=\"b\",reason=\"permission\"} 1\n"}, []string{"CRITICAL auth TrustBundleUnreadable"}, nil},
		{"bundle lacks one, for how long is unknown", nil, value(`attestation_trust_bundle_missing_authorities{bundle="/etc/spire/trust-bundle.pem",trust_domain="funlab.casa"}`, "0", "1"), nil, nil},
		{"bundle holds a tainted one", nil, value(`attestation_trust_bundle_tainted_authorities{bundle="/etc/spire/trust-bundle.pem",trust_domain="funlab.casa"}`, "0", "1"), []string{"WARNING auth TrustBundleOutdated"}, nil},

		{"certificate at a third", nil, value(agentCertificate, "1800054000", "1800016200"), nil, nil},
		{"certificate ends soon", nil, value(agentCertificate, "1800054000", "1800016199"), []string{"WARNING auth CertificateExpiringSoon"}, nil},
		{"certificate without a start ends soon", nil, append(value(agentCertificate, "1800054000", "1800016199"),
			`not_before_timestamp_seconds{kind="file",name="/etc/keylime/certs/agent.crt"}`, `first_seen_timestamp_seconds{kind="file",name="/etc/keylime/certs/agent.crt"}`), []string{"WARNING auth CertificateExpiringSoon"}, nil},
		{"certificate ends", nil, value(agentCertificate, "1800054000", "1800006479"), []string{"CRITICAL auth CertificateExpiryCritical"}, []alert{certificateExpiringSoon}},
		{"certificate in its last second", nil, value(agentCertificate, "1800054000", "1800000000"), []string{"CRITICAL auth CertificateExpiryCritical"}, []alert{certificateExpiringSoon}},
		{"certificate ended", nil, value(agentCertificate, "1800054000", "1799999999"), []string{"CRITICAL auth CertificateExpired"}, []alert{certificateExpiringSoon, certificateCritical}},
		{"certificate of the future", nil, []string{`not_before_timestamp_seconds{kind="file",name="/etc/keylime/certs/agent.crt"} 1799967600`, `not_before_timestamp_seconds{kind="file",name="/etc/keylime/certs/agent.crt"} 1800000001`}, []string{"WARNING auth CertificateNotYetValid"}, nil},
		{"chain broken", nil, []string{`name="/etc/keylime/certs/agent.crt"} 1` + "\n", `name="/etc/keylime/certs/agent.crt"} 0` + "\n"}, []string{"CRITICAL auth CertificateChainInvalid"}, nil},
		{"certificate can't be read", nil, []string{"attestation_tpm_locked_out 0", "attestation_tpm_locked_out 0\nattestation_certificate_load_failed{kind=\"file\",name=\"a\",reason=\"malformed\"} 1"}, []string{"WARNING auth CertificateUnreadable"}, nil},

		{"timer not there", nil, value("attestation_timer_loaded"+renewal, "1", "0"), []string{"WARNING auth TimerNotRunning"}, nil},
		{"timer stopped", nil, value("attestation_timer_active"+renewal, "1", "0"), []string{"WARNING auth TimerNotRunning"}, nil},
		{"nothing planned", nil, gone("attestation_timer_next_trigger_timestamp_seconds" + renewal + " 1800010800"), []string{"WARNING auth TimerNotRunning"}, nil},
		{"nothing planned, its service runs", nil, slices.Concat(gone("attestation_timer_next_trigger_timestamp_seconds"+renewal+" 1800010800"), value("attestation_timer_service_running"+renewalService, "0", "1"),
			value("attestation_timer_service_last_start_timestamp_seconds"+renewalService, "1799989170", "1799999000")), nil, nil},
		{"late at the limit", nil, value("attestation_timer_next_trigger_timestamp_seconds"+renewal, "1800010800", "1799999340"), nil, nil},
		{"overdue", nil, value("attestation_timer_next_trigger_timestamp_seconds"+renewal, "1800010800", "1799999339"), []string{"WARNING auth TimerOverdue"}, nil},
		{"service failed", nil, value("attestation_timer_service_result_success"+renewalService, "1", "0"), []string{"WARNING auth TimerServiceFailed"}, nil},
		{"service stuck", nil, value("attestation_timer_service_running"+renewalService, "0", "1"), []string{"WARNING auth TimerServiceStuck"}, nil},
	}
}

func TestEachTrouble(t *testing.T) {
	for _, tt := range troubleCases() {
		t.Run(tt.name, func(t *testing.T) {
			report := Judge([]Answer{serverHost(t, tt.server...), agentHost(t, tt.agent...)}, fixtureNow)
			if got := troubles(report); !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if got := report.State != OK; got != (len(tt.want) > 0) {
				t.Errorf("state: got %v with %q", report.State, tt.want)
			}
		})
	}
}

func TestNoAnswer(t *testing.T) {
	tests := []struct {
		name   string
		answer Answer
		want   State
	}{
		{"silent", Answer{Host: "ca", Err: fmt.Errorf("refused"), Silent: true}, Critical},
		{"not for us", Answer{Host: "ca", Err: fmt.Errorf("HTTP status 401")}, Unknown},
		{"watches nothing", Answer{Host: "ca", Samples: Samples{}}, Unknown},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			report := Judge([]Answer{agentHost(t), tt.answer}, fixtureNow)
			if got := report.State; got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
			if got := report.Hosts[0].Host; got != "ca" {
				t.Errorf("first host: got %s, want the one in trouble", got)
			}
		})
	}
	if got := Judge(nil, fixtureNow).State; got != Unknown {
		t.Errorf("nobody asked: got %v, want %v", got, Unknown)
	}
}

func TestWorst(t *testing.T) {
	for _, tt := range []struct{ a, b, want State }{
		{OK, Unknown, Unknown}, {Unknown, Warning, Warning}, {Warning, Critical, Critical}, {Critical, Unknown, Critical}, {OK, OK, OK},
	} {
		if got := worst(tt.a, tt.b); got != tt.want {
			t.Errorf("%v and %v: got %v, want %v", tt.a, tt.b, got, tt.want)
		}
	}
}

// TestTenThousandAgents holds the work to the size of the fleet.
func TestTenThousandAgents(t *testing.T) {
	var text strings.Builder
	text.WriteString("attestation_keylime_verifier_up{verifier=\"v\"} 1\nattestation_keylime_verifier_read_timestamp_seconds{verifier=\"v\"} 1800000000\n")
	text.WriteString("attestation_scrape_collector_success{collector=\"keylime-verifier\"} 1\n")
	for _, line := range []string{
		"attestation_keylime_agent_info{agent=\"%[1]d\",mode=\"pull\",verifier=\"v\"} 1\n",
		"attestation_keylime_agent_operational_state{agent=\"%[1]d\"} 7\n",
	} {
		for i := range 10000 {
			fmt.Fprintf(&text, line, i)
		}
	}
	samples, err := Parse(strings.NewReader(text.String()))
	if err != nil {
		t.Fatal(err)
	}
	report := Judge([]Answer{{Host: "spire", Samples: samples}}, fixtureNow)
	if got, want := report.counts()[Critical], 10001; got != want {
		t.Errorf("critical: got %d, want %d", got, want)
	}
	if got, want := strings.Count(report.Screen(ScreenOptions{}), "\n"), 40; got > want {
		t.Errorf("screen: got %d lines, want at most %d", got, want)
	}
	page, err := report.Page()
	if got, want := len(page), 200<<10; err != nil || got > want {
		t.Errorf("page: got %d bytes (%v), want at most %d", got, err, want)
	}
}
