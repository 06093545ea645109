package dashboards

const nextRebootUID = "attestation-reboot"

func nextReboot() Dashboard {
	return Dashboard{uid: nextRebootUID, title: "Attestation / Next reboot", from: "now-24h"}
}
