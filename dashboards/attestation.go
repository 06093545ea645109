package dashboards

const attestationUID = "attestation-agents"

func attestation() Dashboard {
	return Dashboard{uid: attestationUID, title: "Attestation / Agents", from: "now-6h"}
}
