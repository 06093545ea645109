package dashboards

import (
	"fmt"
	"strings"
)

// parameter is a threshold of rules/parameters.rules.yml, so that what a site
// changes there reaches the screen.
func parameter(name string) string {
	return fmt.Sprintf("max(attestation:parameter:value{parameter=%q})", name)
}

// either is the union of what the expressions give.
func either(exprs ...string) string { return strings.Join(exprs, "\nor\n") }

// life is a recorded series about everything that ends, by instance, kind and name.
func life(what string, more ...string) string {
	selectors := strings.Join(append([]string{ofHost}, more...), ",")
	return "instance_kind_name:attestation_life:" + what + "{" + selectors + "}"
}

// left is the time until the end, negative after it.
func left() string { return life("end") + " - time()" }

// lifeLeft is the share of the whole life that is left: 1 at its begin, 0 at its end
// and after it.
func lifeLeft() string { return "clamp_min((" + left() + ") / " + life("length_seconds") + ", 0)" }

// lifeLevel is as bad as the thing's alert, before any wait.
func lifeLevel() string {
	return fmt.Sprintf("(%s < bool %s) * %d\n+\n(%s < bool %s)",
		left(), life("warning_seconds"), levelWarning, left(), life("critical_seconds"))
}

// inTime is the agents whose last success is as fresh as the rules want it.
const inTime = `instance_agent:attestation_keylime_agent_last_success:age_seconds
<= on (verifier) group_left () verifier:attestation_keylime_stale:limit_seconds`
