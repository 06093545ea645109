package spire

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/proto/spiffe/workload"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"funlab.casa/attestation_exporter/certs"
	"funlab.casa/attestation_exporter/failure"
	tower "funlab.casa/attestation_exporter/internal/tower/spire"
)

const fetchMethod = workload.SpiffeWorkloadAPI_FetchX509Bundles_FullMethodName

func TestWorkloadAPI(t *testing.T) {
	agent, dir := newAgent(t, newDomain(t))
	agent.SetEntry(true)
	options := agentOptions(dir)
	options.WorkloadAPI = true
	reading, err := NewAgent(options).Read(t.Context())
	if err != nil || reading.WorkloadAPI <= 0 {
		t.Errorf("got a duration of %s and %v, want one", reading.WorkloadAPI, err)
	}
	if got := agent.Workload.Calls(workload.SpiffeWorkloadAPI_FetchX509SVID_FullMethodName); got != 0 {
		t.Errorf("got %d calls of FetchX509SVID, want none ever", got)
	}
}

// Each refused call is an error line in the agent's log.
func TestWorkloadAPIRefused(t *testing.T) {
	agent, dir := newAgent(t, newDomain(t))
	options := agentOptions(dir)
	options.WorkloadAPI = true
	reading, err := NewAgent(options).Read(t.Context())
	if err == nil || failure.Of(err) != failure.Auth || !reading.Up {
		t.Errorf("got %+v, %v, want an agent that is up and refuses", reading, err)
	}
	var w workloadAPI
	s := socket{path: agent.Workload.Path, owners: own()}
	before := agent.Workload.Calls(fetchMethod)
	for range 3 {
		if _, err := w.fetch(t.Context(), &line{}, s); status.Code(err) != codes.PermissionDenied {
			t.Errorf("got %v, want a refusal", err)
		}
	}
	if got := agent.Workload.Calls(fetchMethod) - before; got != 1 {
		t.Errorf("got %d calls, want 1", got)
	}
}

func TestWorkloadAPIRest(t *testing.T) {
	refusal := status.Error(codes.PermissionDenied, "no identity issued")
	now := time.Date(2026, 11, 23, 18, 0, 0, 0, time.UTC)
	var w workloadAPI
	for i, want := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
		want *= time.Minute
		w.note(now, refusal)
		if err := w.refused(now.Add(want - time.Second)); err == nil {
			t.Errorf("refusal %d: asked again before %s", i, want)
		}
		now = now.Add(want)
		if err := w.refused(now); err != nil {
			t.Errorf("refusal %d: not asked again after %s: %v", i, want, err)
		}
	}
	w.note(now, nil)
	w.note(now, refusal)
	if err := w.refused(now.Add(firstRest)); err != nil {
		t.Errorf("got %v a minute after the first refusal since a success, want another try", err)
	}
}

func TestWorkloadAPIAnswers(t *testing.T) {
	domain := newDomain(t)
	agent, _ := newAgent(t, domain)
	der := domain.DER()
	tests := []struct {
		name            string
		bundles         map[string][]byte
		want            failure.Reason
		wantDomains     int
		wantAuthorities int
	}{
		{"one", map[string][]byte{"spiffe://funlab.casa": der}, "", 1, 1},
		{"federated", map[string][]byte{"spiffe://funlab.casa": der, "spiffe://partner.example": append(der, der...)}, "", 2, 3},
		{"nothing", nil, "", 0, 0},
		{"a good and a bad authority", map[string][]byte{"spiffe://funlab.casa": append([]byte{0x30, 0x00}, der...)}, failure.Malformed, 1, 1},
		{"cut off", map[string][]byte{"spiffe://funlab.casa": append(der[:len(der):len(der)], der[:len(der)/2]...)}, failure.Malformed, 1, 1},
		{"no SPIFFE ID", map[string][]byte{"funlab.casa": der}, failure.Malformed, 0, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			agent.Workload.Set(fetchMethod, tower.Answer{Message: &workload.X509BundlesResponse{Bundles: tt.bundles}})
			var w workloadAPI
			got, err := w.fetch(t.Context(), &line{}, socket{path: agent.Workload.Path, owners: own()})
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || failure.Of(err) != tt.want) {
				t.Errorf("got %v, want reason %q", err, tt.want)
			}
			authorities := 0
			for _, bundle := range got.bundles {
				authorities += len(bundle.Authorities)
			}
			if len(got.bundles) != tt.wantDomains || authorities != tt.wantAuthorities {
				t.Errorf("got %d domains with %d authorities, want %d with %d", len(got.bundles), authorities, tt.wantDomains, tt.wantAuthorities)
			}
		})
	}
}

// What a real agent gave to workloads is what its server had at that moment.
func TestWorkloadAPIRecorded(t *testing.T) {
	agent, _ := newAgent(t, newDomain(t))
	for _, folder := range []string{"fresh", "rotation/3_two_expired_active_prepared", "taint/2_old_tainted", "upstream_authority"} {
		t.Run(folder, func(t *testing.T) {
			at, err := agent.Workload.Replay(filepath.Join(recordings, folder), "FetchX509Bundles")
			if err != nil {
				t.Fatal(err)
			}
			var w workloadAPI
			got, err := w.fetch(t.Context(), &line{}, socket{path: agent.Workload.Path, owners: own()})
			if err != nil || len(got.bundles) != 1 || got.bundles[0].TrustDomain != "funlab.casa" {
				t.Fatalf("got %+v, %v, want funlab.casa's bundle", got.bundles, err)
			}
			shown := certs.ParseBundle("", readRecording(t, folder+"/bundle_show.pem"))
			if d := certs.Compare(shown.Authorities, got.bundles[0].Authorities, at); d != (certs.Difference{}) {
				t.Errorf("got %+v between the file and the answer, want none", d)
			}
		})
	}
}

func TestReasonsRecorded(t *testing.T) {
	tests := []struct {
		folder, name string
		want         failure.Reason
	}{
		{"errors", "admin_socket_health_unimplemented", failure.Malformed},
		{"errors", "debug_on_workload_socket", failure.Malformed},
		{"errors", "unregistered_FetchX509Bundles", failure.Auth},
		{"server_down", "agent_debug_get_info_svid_expired", failure.Malformed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			recording, err := tower.Load(filepath.Join(recordings, tt.folder), tt.name)
			if err != nil {
				t.Fatal(err)
			}
			if got := reasonOf(status.Code(recording.Answer.Err)); got != tt.want {
				t.Errorf("got %s for %v, want %s", got, recording.Answer.Err, tt.want)
			}
		})
	}
}
