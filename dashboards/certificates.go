package dashboards

const certificatesUID = "attestation-certificates"

func certificates() Dashboard {
	return Dashboard{uid: certificatesUID, title: "Attestation / Certificates", from: "now-24h"}
}
