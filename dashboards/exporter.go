package dashboards

const exporterUID = "attestation-exporter"

func exporter() Dashboard {
	return Dashboard{uid: exporterUID, title: "Attestation / Exporter", from: "now-6h"}
}
