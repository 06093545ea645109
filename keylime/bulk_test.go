package keylime

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"funlab.casa/attestation_exporter/failure"
)

// recordedBody is the body of a recorded answer.
func recordedBody(t testing.TB, name string) string {
	t.Helper()
	file, err := os.Open(filepath.Join(testdata, name+".http"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	response, err := http.ReadResponse(bufio.NewReader(file), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// decodeSingle decodes a recorded answer about a single agent.
func decodeSingle(t testing.TB, name string) Agent {
	t.Helper()
	text := strings.Replace(recordedBody(t, name), `"results": {`, `"results": {"a": {`, 1) + "}"
	got, err := decodeBulk(strings.NewReader(text), defaultVerifierID)
	if err != nil || len(got.agents) != 1 {
		t.Fatalf("%s: got %d agents, %v, want one", name, len(got.agents), err)
	}
	return got.agents[0]
}

func TestRecordedAgents(t *testing.T) {
	never := time.Time{}
	tests := []struct {
		name    string
		state   int // −1: none
		verdict Verdict
		mode    Mode
		event   string
		count   int // −1: none
		quote   time.Time
		success time.Time
	}{
		{"verifier-agent-ok-state3", 3, Pass, Pull, "", 97, unix(1795458625), unix(1795458625)},
		{"verifier-agent-state1-fresh-first-quote-pending", 1, Pending, Pull, "", 0, never, never},
		{"verifier-agent-state3-hanging-stale-quote", 3, Pass, Pull, "", 11, unix(1795458527), unix(1795458527)},
		{"verifier-agent-state3-after-reactivate-stale-severity", 3, Pass, Pull, "", 7, unix(1795458906), unix(1795458906)},
		{"verifier-agent-state5-provide-v-retrying", 5, Pass, Pull, "", 1, unix(1795458743), unix(1795458743)},
		{"verifier-agent-state7-not-reachable", 7, Fail, Pull, "internal.verifier.not_reachable", 11, unix(1795458527), unix(1795458527)},
		{"verifier-agent-state8-terminated", 8, Pending, Pull, "", 25, unix(1795458811), unix(1795458811)},
		{"verifier-agent-state9-pcr-extended", 9, Fail, Pull, "pcr_validation.invalid_pcr_4", 11, unix(1795458530), unix(1795458527)},
		{"verifier-agent-state10-stopped", 10, Fail, Pull, "", 11, unix(1795458528), unix(1795458528)},
		{"push-verifier-agent-pass-from-db", 3, Pass, Push, "", 5, unix(1795458940), unix(1795458940)},
		{"push-verifier-agent-fail-from-db", 3, Fail, Push, "pcr_validation.invalid_pcr_4", 5, unix(1795458940), unix(1795458940)},
		{"push-verifier-agent-timeout-from-db", 3, Timeout, Push, "", 5, unix(1795458640), unix(1795458640)},
		{"push-verifier-agent-nulls-from-db", -1, Pending, Push, "", -1, never, never},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := decodeSingle(t, tt.name)
			want := got
			want.State, want.Attestations = nil, nil
			if tt.state >= 0 {
				state := State(tt.state)
				want.State = &state
			}
			if tt.count >= 0 {
				count := uint64(tt.count)
				want.Attestations = &count
			}
			want.Verdict, want.Mode, want.Event, want.LastQuote, want.LastSuccess = tt.verdict, tt.mode, tt.event, tt.quote, tt.success
			if render(got) != render(want) {
				t.Errorf("\n got %s\nwant %s", render(got), render(want))
			}
		})
	}
}

func unix(seconds int64) time.Time { return time.Unix(seconds, 0).UTC() }

// render prints an agent with what its pointers point to.
func render(a Agent) string {
	state, count := "none", "none"
	if a.State != nil {
		state = strconv.Itoa(int(*a.State))
	}
	if a.Attestations != nil {
		count = strconv.FormatUint(*a.Attestations, 10)
	}
	return fmt.Sprintf("state %s %s %s event %q count %s quote %s success %s", state, a.Verdict, a.Mode, a.Event, count,
		a.LastQuote.Format(time.RFC3339), a.LastSuccess.Format(time.RFC3339))
}

func TestOlderReleasesSayNoStatus(t *testing.T) {
	for state, want := range map[int]Verdict{0: Pending, 1: Pending, 2: Pending, 3: Pass, 4: Pass, 5: Pass, 6: Pass, 7: Fail, 8: Pending, 9: Fail, 10: Fail, 11: Pending} {
		text := fmt.Sprintf(`{"results": {"a": {"operational_state": %d, "ip": "::1", "port": 9002}}}`, state)
		got, err := decodeBulk(strings.NewReader(text), "default")
		if err != nil || len(got.agents) != 1 || got.agents[0].Verdict != want || got.agents[0].Address != "[::1]:9002" {
			t.Errorf("state %d: got %+v, %v, want %s", state, got.agents, err, want)
		}
	}
}

func TestDecodeBulk(t *testing.T) {
	long := strings.Repeat("x", 10_000)
	tests := []struct {
		name, text string
		ids        string // of the agents that are kept; "none at all" where the answer is worthless
		says       string
	}{
		{"empty", `{"code": 200, "results": {}}`, "", ""},
		{"odd ids", `{"results": {"a\"b": {}, "c\nd": {}, "é": {}}}`, "a\"b|c\nd|é", ""},
		{"ids that aren't UTF-8", "{\"results\": {\"a\xff\": {}, \"a\xfe\": {}, \"b\": {}}}", "b", "is there 2 times"},
		{"id of 10,000 characters", `{"results": {"` + long + `": {}, "b": {}}}`, "b", "an agent's id has 10000 bytes"},
		{"id without characters", `{"results": {"": {}, "b": {}}}`, "b", "an agent's id has 0 bytes"},
		{"doubled", `{"results": {"a": {}, "b": {}, "a": {}}}`, "b", `agent "a" is there 2 times`},
		{"state out of range", `{"results": {"a": {"operational_state": 256}}}`, "a", `agent "a": operational_state out of range`},
		{"state far out of range", `{"results": {"a": {"operational_state": 1e99}}}`, "a", `agent "a": operational_state of the wrong type`},
		{"count below zero", `{"results": {"a": {"attestation_count": -1}}}`, "a", `attestation_count out of range`},
		{"moment out of range", `{"results": {"a": {"last_received_quote": 9e18, "last_successful_attestation": -5}}}`, "a", "last_received_quote of the wrong type\nlast_successful_attestation out of range"},
		{"moment after the year 9999", `{"results": {"a": {"last_received_quote": 253402300800}}}`, "a", "last_received_quote out of range"},
		{"long address", `{"results": {"a": {"ip": "` + long + `", "port": 1}}}`, "a", "ip out of range"},
		{"agent that is a list", `{"results": {"a": [1], "b": {}}}`, "a|b", `agent "a": the whole of the wrong type`},
		{"agent that is null", `{"results": {"a": null}}`, "a", ""},
		{"several wrong types", `{"results": {"a": {"operational_state": "3", "ip": 4, "hash_alg": []}}}`, "a", `agent "a": operational_state, hash_alg, ip of the wrong type`},
		{"wrong type under a key in other letters", `{"results": {"a": {"Operational_State": "3"}}}`, "a", `agent "a": the whole of the wrong type`},
		{"many mistakes", `{"results": {"a": 1, "b": 1, "c": 1, "d": 1, "e": 1}}`, "a|b|c|d|e", "and 2 more"},
		{"another API's answer", `{}`, "none at all", "has no results"},
		{"a verdict of another kind", `{"results": {"a": {"attestation_status": "` + long + `"}}}`, "a", "attestation_status out of range"},
		{"results are a list", `{"results": []}`, "none at all", "isn't JSON of Keylime's form"},
		{"broken", `{"results": {"a": {}, oops}}`, "none at all", "isn't JSON of Keylime's form"},
		{"cut", `{"results": {"a": {}`, "none at all", "isn't JSON of Keylime's form"},
		{"nothing", ``, "none at all", "isn't JSON of Keylime's form"},
		{"entry without end", `{"results": {"a": {"meta_data": "` + strings.Repeat("x", 3*maxEntry), "none at all", "longer than"},
		{"deep", `{"results": {"a": ` + strings.Repeat("[", 20_000), "none at all", "isn't JSON of Keylime's form"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := decodeBulk(strings.NewReader(tt.text), "default")
			ids := "none at all"
			if got.agents != nil {
				var kept []string
				for _, agent := range got.agents {
					kept = append(kept, agent.ID)
				}
				ids = strings.Join(kept, "|")
			}
			if ids != tt.ids {
				t.Errorf("agents: got %q, want %q", ids, tt.ids)
			}
			if (err == nil) != (tt.says == "") || err != nil && (!strings.Contains(err.Error(), tt.says) || failure.Of(err) != failure.Malformed) {
				t.Errorf("error: got %v, want one of reason malformed that says %q", err, tt.says)
			}
		})
	}
}

func TestBrokenConnectionIsToldFromBrokenDocument(t *testing.T) {
	broken := errors.New("connection reset")
	body := io.MultiReader(strings.NewReader(`{"results": {"a": {}`), iotest.ErrReader(broken))
	if got, err := decodeBulk(body, "default"); !errors.Is(err, broken) || got.agents != nil {
		t.Errorf("got %+v, %v, want the connection's error alone", got, err)
	}
}

func TestTooManyAgents(t *testing.T) {
	answer := func(n int) io.Reader {
		var text strings.Builder
		for i := range n {
			fmt.Fprintf(&text, `, "%d": {"operational_state": 3}`, i)
		}
		return strings.NewReader(`{"results": {` + strings.TrimPrefix(text.String(), ", ") + `}}`)
	}
	if got, err := decodeBulk(answer(maxAgents), "default"); len(got.agents) != maxAgents || err != nil {
		t.Errorf("as many as are read: got %d agents, %v, want all", len(got.agents), err)
	}
	got, err := decodeBulk(answer(maxAgents+1), "default")
	if got.agents != nil || err == nil || failure.Of(err) != failure.Malformed || !strings.Contains(err.Error(), "more than 100000 agents") {
		t.Errorf("one more: got %d agents, %v, want an error that names the limit", len(got.agents), err)
	}
}

func FuzzDecodeBulk(f *testing.F) {
	for _, name := range []string{"verifier-agents-bulk-all-states-partly-from-db", "push-verifier-agents-bulk", "verifier-agents-bulk-verifier-unknown", "verifier-agents-list"} {
		f.Add(recordedBody(f, name))
	}
	f.Add(`{"results": {"a": {"operational_state": 3, "attestation_count": -1}, "a": []}}`)
	f.Fuzz(func(t *testing.T, text string) {
		got, err := decodeBulk(strings.NewReader(text), "default")
		seen := map[string]bool{}
		for _, agent := range got.agents {
			if seen[agent.ID] || agent.ID == "" || len(agent.ID) > maxText {
				t.Errorf("got the id %q twice, or it has the wrong length", agent.ID)
			}
			seen[agent.ID] = true
			if agent.State != nil && (*agent.State < 0 || *agent.State > maxState) {
				t.Errorf("got state %d", *agent.State)
			}
		}
		if err != nil && failure.Of(err) != failure.Malformed {
			t.Errorf("reason of %v: got %s, want malformed", err, failure.Of(err))
		}
	})
}

// manyAgents is a bulk answer of the size that 10,000 real agents have.
func manyAgents(t testing.TB, n int) string {
	t.Helper()
	one := strings.TrimSuffix(recordedBody(t, "verifier-agent-ok-state3"), "}")
	_, one, _ = strings.Cut(one, `"results": `)
	var text strings.Builder
	text.WriteString(`{"code": 200, "status": "Success", "results": {`)
	for i := range n {
		if i > 0 {
			text.WriteString(", ")
		}
		fmt.Fprintf(&text, `"seed-%08d-0000-4000-8000-000000000000": %s`, i, one)
	}
	text.WriteString("}}")
	return text.String()
}

// BenchmarkDecodeBulk shows that an answer costs by its length, up to the limit.
func BenchmarkDecodeBulk(b *testing.B) {
	for _, n := range []int{1000, 10_000, maxAgents} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			text := manyAgents(b, n)
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				got, err := decodeBulk(strings.NewReader(text), "default")
				if err != nil || len(got.agents) != n {
					b.Fatalf("got %d agents, %v", len(got.agents), err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/agent")
		})
	}
}
