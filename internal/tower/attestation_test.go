package tower

import (
	"testing"
	"time"

	"funlab.casa/attestation_exporter/internal/tower/keylime"
)

// TestRecovery holds keylime-agent-recovery.service to what it may bring back.
func TestRecovery(t *testing.T) {
	tests := []struct {
		name    string
		conduct keylime.Conduct
		broken  string
		want    int // the state in which the agent is then
	}{
		{"given up, and it answers again", keylime.Gone, "", 1},
		{"given up, and still gone", keylime.Gone, "agent-gone", 7},
		{"refused", keylime.BadQuote, "quote", 9},
		{"stopped on request", keylime.Stopped, "", 10},
		{"attested", keylime.Attests, "", 3},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			now := time.Now()
			tower := &Tower{options: Options{Day: 24 * time.Hour}, dir: t.TempDir(), broken: map[string]bool{tt.broken: true}}
			t.Cleanup(tower.Close)
			if err := tower.startCertificates(t.Context()); err != nil {
				t.Fatal(err)
			}
			settings, err := tower.introduce(now)
			if err != nil {
				t.Fatal(err)
			}
			verifier, err := keylime.StartVerifier(t.Context(), keylime.VerifierOptions{
				Address: "127.0.0.1:0", TLS: settings, ID: "default", Interval: quoteInterval,
				Now: func() time.Time { return now },
			})
			if err != nil {
				t.Fatal(err)
			}
			tower.attestation.verifier = verifier
			verifier.Add(keylime.Agent{ID: hostAgent, Conduct: keylime.Attests})
			verifier.Change(hostAgent, tt.conduct)
			now = now.Add(2 * keylime.GiveUpGone)
			if err := tower.recoverAgents(now); err != nil {
				t.Fatal(err)
			}
			if got, known := verifier.State(hostAgent); !known || got != tt.want {
				t.Errorf("got state %d (known: %t), want %d", got, known, tt.want)
			}
		})
	}
}
