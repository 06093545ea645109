package tower

import (
	"errors"
	"io/fs"
	"os"
	"testing"
	"time"
)

// TestServerStopped follows this host's SPIRE agent through an outage of its server.
func TestServerStopped(t *testing.T) {
	tower := &Tower{options: Options{Day: 24 * time.Hour}, dir: t.TempDir(), broken: map[string]bool{}}
	t.Cleanup(tower.Close)
	if err := tower.startSPIRE(t.Context()); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	tick := func(after time.Duration) {
		t.Helper()
		if err := tower.tickSPIRE(begin.Add(after)); err != nil {
			t.Fatal(err)
		}
	}
	first := tower.spire.agent.NotAfter()
	tower.stopSPIREServer()
	tick(40 * time.Minute)
	if got := tower.spire.agent.NotAfter(); !got.Equal(first) {
		t.Errorf("without a server: got an SVID until %v, want the old one, until %v", got, first)
	}
	tick(61 * time.Minute)
	if tower.spire.agent != nil {
		t.Error("after the end of its SVID: the agent runs, want it gone")
	}
	if _, err := os.Stat(tower.path("spire", "agent", "agent.sock")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the agent's socket: got error %v, want it gone", err)
	}
	server, err := faultNamed("spire-server")
	if err != nil {
		t.Fatal(err)
	}
	if err := server.mends(tower, t.Context()); err != nil {
		t.Fatal(err)
	}
	if tower.spire.agent == nil {
		t.Fatal("with the server back: the agent is gone, want it started again")
	}
	if got, want := len(tower.spire.server.Agents()), 2; got != want {
		t.Errorf("agents of the restarted server: got %d, want %d", got, want)
	}
}

// TestRenewal holds the SVIDs to half of their life.
func TestRenewal(t *testing.T) {
	tower := &Tower{options: Options{Day: 24 * time.Hour}, dir: t.TempDir(), broken: map[string]bool{}}
	t.Cleanup(tower.Close)
	if err := tower.startSPIRE(t.Context()); err != nil {
		t.Fatal(err)
	}
	first := tower.spire.ends[otherAgent]
	for _, tt := range []struct {
		name    string
		after   time.Duration
		renewed bool
	}{
		{"before half of its life", 29 * time.Minute, false},
		{"after half of its life", 31 * time.Minute, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := tower.tickSPIRE(time.Now().Add(tt.after)); err != nil {
				t.Fatal(err)
			}
			if got := tower.spire.ends[otherAgent].After(first); got != tt.renewed {
				t.Errorf("got renewed %t, want %t", got, tt.renewed)
			}
		})
	}
}
