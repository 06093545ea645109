package dashboards

const agentsUID = "attestation-agents"

// agents answers: whom does Keylime not believe, whom does it no longer ask, and
// does SPIRE trust them all the same?
func agents() Dashboard {
	return Dashboard{
		uid: agentsUID, title: "Attestation / Agents", from: "now-6h",
		description: "Keylime's agents as the verifier judges them, and SPIRE's as its server trusts them.",
		variables:   []variable{datasourceChoice(), jobChoice(), hostChoice(), agentChoice()},
		rows: []row{
			{height: 4, cells: evenly(
				count("Refused", "Agents whose evidence Keylime refuses: firmware, boot or files aren't what the policy allows, or the policy is wrong. Treat the host as changed until you know better.",
					refused(), worst).runbooks("KeylimeIntegrityFailure"),
				count("Given up", "Agents that the verifier no longer asks, because they didn't answer several times. It never tries again: add the agent anew.",
					chosen("agent:attestation_keylime_agent:state == 7"), worst).runbooks("KeylimeAgentGivenUp"),
				count("Stopped", "Agents whose attestation somebody or some script stopped. Nobody watches their hosts.",
					chosen("agent:attestation_keylime_agent:state == 10"), bad).runbooks("KeylimeAgentStopped"),
				count("Late", "Agents in good standing whose last success is older than it may be, or that never had one. The verdict may still be PASS: don't believe it.",
					chosen("agent:attestation_keylime_agent:state < 7")+"\nunless on (agent)\n("+inTime+")", worst).
					runbooks("KeylimeAttestationStale", "KeylimeNobodyAttested"),
				count("Unasked", "Agents that are registered, and unknown to every verifier: their hosts look attested and are not.",
					`max by (agent) (attestation_keylime_agent_registered{job=~"$job",agent=~"$agent"}) unless on (agent) agent:attestation_keylime_agent:known`, bad).
					runbooks("KeylimeAgentNotVerified"),
				count("To ban", "Agents that Keylime refuses or that were stopped, and that hold a valid SVID. Ban them in SPIRE: until then all workloads of their hosts are trusted.",
					trustedAllTheSame(), worst).runbooks("SPIRETrustsFailedAgent"),
			)},
			{height: 7, cells: evenly(agentsTable())},
			{height: 8, cells: []cell{
				{12, timeline("State of each agent", "When which agent was in which state. REFUSED is a verdict, GIVEN UP is silence, STOPPED somebody's wish. With many agents the 25 highest numbers are shown, which are the worst.",
					"topk(25, "+chosen("agent:attestation_keylime_agent:state")+"\n* on (agent) group_left (instance) instance_agent:attestation_keylime_agent:known)", "{{instance}} {{agent}}", agentStates()).
					empty("no agent").runbooks("KeylimeIntegrityFailure", "KeylimeAgentGivenUp", "KeylimeAgentStopped")},
				{12, overTime("Agents by state", "All agents of all verifiers. Anything but get_quote that stays needs somebody.",
					line{expr: `sum by (state) (max by (verifier, state) (attestation_keylime_agents{job=~"$job"})) > 0`, legend: "{{state}}"},
				).unit("none", 0).stacked().paints("get_quote", good).paints("failed", worst).paints("invalid_quote", "dark-red").paints("tenant_failed", bad).
					empty("no verifier").runbooks("KeylimeAgentGivenUp")},
			}},
			{height: 8, cells: evenly(
				overTime("Since the last success", "Age of each agent's last success at the moment of the verifier's answer. Above the dashed line nobody has watched the host for too long.",
					line{expr: chosen("instance_agent:attestation_keylime_agent_last_success:age_seconds"), legend: "{{instance}} {{agent}}"},
					line{expr: "max(verifier:attestation_keylime_stale:limit_seconds)", legend: "limit", limit: worst},
				).unit("s", 0).logarithmic().empty("no agent").runbooks("KeylimeAttestationStale"),
				overTime("Attestations", "Successes per second of each agent: one per quote interval when all is well.",
					line{expr: `max by (agent) (rate(attestation_keylime_agent_attestations_total{job=~"$job",agent=~"$agent"}[$__rate_interval]))
* on (agent) group_left (instance) instance_agent:attestation_keylime_agent:known{` + ofHost + "}", legend: "{{instance}} {{agent}}"},
				).unit("suffix: /s", 2).empty("no agent").runbooks("KeylimeNobodyAttested"),
			)},
			{height: 8, cells: evenly(
				overTime("Registrar and verifier", "Registered agents and those that a verifier knows: two equal lines. A gap is agents that nobody asks, or that are gone from the registrar.",
					line{expr: `max(attestation_keylime_registrar_agents{job=~"$job",activated="true"})`, legend: "registered"},
					line{expr: "count(agent:attestation_keylime_agent:known)", legend: "verified"},
				).unit("none", 0).empty("no registrar").runbooks("KeylimeAgentNotVerified"),
				overTime("SPIRE agents by attestation", "Live agents by how they attested. What is not keylime proves nothing about the state of its host.",
					line{expr: `sum by (attestation_type) (max by (trust_domain, attestation_type) (attestation_spire_server_agents{job=~"$job"}))`, legend: "{{attestation_type}}"},
				).unit("none", 0).empty("no SPIRE server").runbooks("SPIREUnwantedAttestation"),
				overTime("Since the last sync", "How long ago each SPIRE agent last heard from its server; above the dashed line it has lost it. When its own SVID ends it exits.",
					line{expr: "time() - max by (instance) (attestation_spire_agent_last_sync_timestamp_seconds{" + onHost + "})", legend: "{{instance}}"},
					line{expr: "vector(300)", legend: "limit", limit: worst},
				).unit("s", 0).logarithmic().empty("no SPIRE agent").runbooks("SPIREAgentNotSyncing"),
			)},
			{height: 6, cells: evenly(
				table("Agents on the hosts", "Whether the agent serves, whether the Keylime agent beside it answers, and what SPIRE's plugins are. A plugin that isn't the pinned one keeps SPIRE from starting again.",
					hostColumn(nextRebootUID),
					column{heading: "SPIRE agent", expr: "min by (instance) (attestation_spire_agent_up{" + onHost + "})", words: claim("SERVES", good, "DOWN", worst), paint: background},
					column{heading: "Server seen", expr: "(time() - max by (instance) (attestation_spire_agent_last_sync_timestamp_seconds{" + onHost + "}) < bool 300)", words: claim("YES", good, "LOST", worst), paint: background},
					column{heading: "Workload API", expr: "max by (instance) (attestation_spire_workload_api_duration_seconds{" + onHost + "})", unit: "s", decimals: new(1)},
					column{heading: "Plugins", expr: "min by (instance) (attestation_spire_plugin_checksum_matches{" + onHost + "})", words: claim("PINNED", good, "DIFFER", worst), paint: background},
					column{heading: "Keylime agent", expr: "min by (instance) (attestation_keylime_local_agent_up{" + onHost + "})", words: claim("ANSWERS", good, "DOWN", worst), paint: background},
				).leastFirst("SPIRE agent", "Plugins").empty("no agent on any host").runbooks("SPIREAgentDown", "SPIREAgentNotSyncing", "SPIREPluginChecksumMismatch", "KeylimeLocalAgentDown"),
			)},
			{height: 6, cells: evenly(
				table("Servers", "The parts that everything above depends on, each as the exporter beside it sees it. While a verifier is down nobody is attested; while a SPIRE server is down nothing is renewed.",
					hostColumn(exporterUID),
					column{heading: "Server", label: "server"},
					column{heading: "Answers", expr: either(
						`max by (instance, server) (label_replace(attestation_keylime_verifier_up{`+onHost+`}, "server", "Keylime verifier $1", "verifier", "(.*)"))`,
						`max by (instance, server) (label_replace(attestation_keylime_registrar_up{`+onHost+`}, "server", "Keylime registrar", "", ""))`,
						`max by (instance, server) (label_replace(attestation_spire_server_up{`+onHost+`}, "server", "SPIRE server of $1", "trust_domain", "(.*)"))`,
					), words: claim("YES", good, "NO", worst), paint: background, width: 90},
				).leastFirst("Answers").empty("no server is read").runbooks("KeylimeVerifierUnreachable", "KeylimeRegistrarUnreachable", "SPIREServerDown"),
			)},
		},
	}
}

// chosen keeps of a recorded series by agent the agents that are chosen, and of these
// the ones on hosts that are. An agent whose host nobody knows has no instance.
func chosen(expr string) string {
	return "((" + expr + `) and on (agent) instance_agent:attestation_keylime_agent:known{agent=~"$agent",` + ofHost + "})"
}

// refused is the agents that KeylimeIntegrityFailure is about: each until it is seen
// in another state.
func refused() string {
	const seen = "instance_agent:attestation_keylime_agent_refused:last_seen"
	return "(" + seen + `{agent=~"$agent",` + ofHost + "}\nunless on (agent)\n" + seen + " < on (agent) group_left () agent:attestation_keylime_agent_accepted:last_seen)"
}

// trustedAllTheSame joins the two systems by the agent's id.
func trustedAllTheSame() string {
	return `label_replace(instance_spiffe_id:attestation_spire_server_agent_svid:not_after >= time(), "agent", "$1", "keylime_agent", "(.+)")
and on (agent)
(` + chosen("agent:attestation_keylime_agent:refused or agent:attestation_keylime_agent:state == 10") + ")"
}

// agentStates are Keylime's own numbers.
func agentStates() mapping {
	return values(
		word(0, "REGISTERED", waiting), word(1, "START", waiting), word(2, "SAVED", waiting), word(3, "OK", good),
		word(4, "RETRY", waiting), word(5, "PROVIDE V", waiting), word(6, "RETRY V", waiting),
		word(7, "GIVEN UP", worst), word(8, "TERMINATED", bad), word(9, "REFUSED", "dark-red"), word(10, "STOPPED", bad),
	)
}

func agentsTable() panel {
	// What is known by agent, in rows that have the host, too.
	on := func(expr string) string {
		return "max by (agent, instance) (" + chosen("instance_agent:attestation_keylime_agent:known") + ") * 0\n+ on (agent) group_left ()\nmax by (agent) (" + expr + ")"
	}
	return table("Agents",
		"Worst state first. OK is Keylime's Get Quote, which an agent that hangs has, too: look at the age of the last success beside it. REFUSED wants an investigation, GIVEN UP a look at the host, STOPPED a word with whoever stopped it.",
		hostColumn(nextRebootUID),
		column{heading: "Agent", label: "agent"},
		column{heading: "State", expr: on("agent:attestation_keylime_agent:state"), words: []mapping{agentStates(), nothing()}, paint: background, width: 100},
		column{heading: "Success", expr: on("instance_agent:attestation_keylime_agent_last_success:age_seconds"), unit: "s", decimals: new(0), width: 96},
		column{heading: "In time", expr: on("instance_agent:attestation_keylime_agent_last_success:age_seconds\n<= bool on (verifier) group_left () verifier:attestation_keylime_stale:limit_seconds"),
			words: claim("YES", good, "LATE", worst), paint: background, width: 76},
		column{heading: "SVID left", expr: on(`label_replace(max by (keylime_agent) (spiffe_id:attestation_spire_server_agent_svid:not_after) - time(), "agent", "$1", "keylime_agent", "(.+)")`), unit: "s", decimals: new(0), width: 80},
		column{heading: "SPIRE", expr: on(`label_replace(clamp_max(max by (keylime_agent) (spiffe_id:attestation_spire_server_agent_svid:not_after >= time()), 1), "agent", "$1", "keylime_agent", "(.+)")
+ on (agent)
(max by (agent) (agent:attestation_keylime_agent:state) == bool 9 or max by (agent) (agent:attestation_keylime_agent:state) == bool 10)`),
			words: []mapping{values(word(1, "TRUSTS", plain), word(2, "BAN IT", worst)), nothing()}, paint: letters, width: 76},
	).worstFirst("State", "Success").empty("no agent").runbooks("KeylimeIntegrityFailure", "KeylimeAttestationStale", "KeylimeAgentGivenUp", "SPIRETrustsFailedAgent")
}
