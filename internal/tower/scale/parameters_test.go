package scale

import (
	"strings"
	"testing"
)

const parameters = `# What a site may change.
groups:
  - name: parameters
    rules:
      - record: attestation:target:up
        expr: up
      - record: attestation:parameter:value
        labels:
          parameter: one
        expr: vector(3 * 86400)
      # How long.
      - record: attestation:parameter:value
        labels:
          parameter: another
        expr: vector(1 / 3)
`

func TestParameter(t *testing.T) {
	got, err := Parameter([]byte(parameters), "one", 45.5)
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.Replace(parameters, "vector(3 * 86400)", "vector(45.5)", 1); string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestParameterRefuses(t *testing.T) {
	tests := []struct{ name, in, parameter string }{
		{"not there", parameters, "none"},
		{"without a name", parameters, ""},
		{"not YAML", "groups: [", "one"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := Parameter([]byte(tt.in), tt.parameter, 1); err == nil {
				t.Errorf("got\n%s\nwant an error", got)
			}
		})
	}
}
