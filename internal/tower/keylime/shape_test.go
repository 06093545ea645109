package keylime

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const testdata = "../../../testdata/keylime"

// members returns the keys of an object in their order.
func members(t *testing.T, text []byte) []string {
	t.Helper()
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	if _, err := decoder.Token(); err != nil {
		t.Fatal(err)
	}
	var keys []string
	for decoder.More() {
		key, err := decoder.Token()
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key.(string))
		if err := decoder.Decode(new(json.RawMessage)); err != nil {
			t.Fatal(err)
		}
	}
	return keys
}

// TestShape holds the stand-in's answer about an agent to the recorded one: the same
// members in the same order, with values of the same types.
func TestShape(t *testing.T) {
	recorded, err := load(filepath.Join(testdata, "verifier-agent-ok-state3.http"))
	if err != nil {
		t.Fatal(err)
	}
	var theirs struct {
		Results json.RawMessage `json:"results"`
	}
	if err := json.Unmarshal(recorded.body, &theirs); err != nil {
		t.Fatal(err)
	}
	v := &Verifier{options: VerifierOptions{ID: "default", Interval: 2 * time.Second}}
	added := time.Unix(1795458000, 0)
	ours, err := json.Marshal(v.render(Agent{ID: "a", IP: "127.0.0.1", Port: 9002, Added: added, Since: added, Conduct: Attests}, added.Add(time.Minute), "default"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := members(t, ours), members(t, theirs.Results); !slices.Equal(got, want) {
		t.Errorf("members: got %q, want %q", got, want)
	}
	var got, want map[string]any
	if err := json.Unmarshal(ours, &got); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(theirs.Results, &want); err != nil {
		t.Fatal(err)
	}
	for key := range want {
		if kind(got[key]) != kind(want[key]) {
			t.Errorf("%s: got a %s, want a %s", key, kind(got[key]), kind(want[key]))
		}
	}
}

func kind(value any) string {
	switch value.(type) {
	case nil:
		return "null"
	case string:
		return "text"
	case float64:
		return "number"
	case []any:
		return "list"
	}
	return "something else"
}

func TestSpaced(t *testing.T) {
	tests := map[string]string{
		`{"a":1,"b":[2,3]}`:    `{"a": 1, "b": [2, 3]}`,
		`{"a:b":"c,\"d:e,"}`:   `{"a:b": "c,\"d:e,"}`,
		`{"a":"\\","b":"x:y"}`: `{"a": "\\", "b": "x:y"}`,
	}
	for text, want := range tests {
		if got := string(spaced([]byte(text))); got != want {
			t.Errorf("spaced(%s): got %s, want %s", text, got, want)
		}
	}
}

func TestConduct(t *testing.T) {
	added := time.Unix(1_000_000, 0)
	broke := added.Add(21 * time.Second)
	tests := []struct {
		name    string
		conduct Conduct
		after   time.Duration // after Added for an agent that attests, else after it broke
		state   int           // −1: none
		status  string
		count   int
	}{
		{"just added", Attests, 0, 1, "PENDING", 0},
		{"first interval", Attests, time.Second, 5, "PASS", 1},
		{"steady", Attests, 20 * time.Second, 3, "PASS", 11},
		{"bad quote", BadQuote, 0, 9, "FAIL", 11},
		{"gone, retried", Gone, time.Minute, 3, "PASS", 11},
		{"gone, given up", Gone, 63 * time.Second, 7, "FAIL", 11},
		{"hanging, retried", Hanging, 8 * time.Minute, 3, "PASS", 11},
		{"hanging, given up", Hanging, 485 * time.Second, 7, "FAIL", 11},
		{"forgotten", Forgotten, time.Hour, 3, "PASS", 11},
		{"stopped", Stopped, time.Hour, 10, "FAIL", 11},
		{"never polled", NeverPolled, time.Hour, -1, "PENDING", 0},
		{"pushing", Pushing, time.Hour, 3, "PASS", 1811},
		{"push failing", PushFailing, time.Hour, 3, "FAIL", 11},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			now := broke.Add(tt.after)
			if tt.conduct == Attests {
				now = added.Add(tt.after)
			}
			got := Agent{Added: added, Since: broke, Conduct: tt.conduct}.at(now, 2*time.Second, 0)
			state := -1
			if got.state != nil {
				state = *got.state
			}
			if state != tt.state || got.status != tt.status || got.count != tt.count {
				t.Errorf("got state %d %s count %d, want %d %s %d", state, got.status, got.count, tt.state, tt.status, tt.count)
			}
		})
	}
}
