package status

// An alert of the rule pack, by its name. A row that needs a person names the one
// that fires if it stays so, and with it the runbook.
type alert string

// The alerts whose cause shows in one exposition.
const (
	exporterDown            alert = "AttestationExporterDown"
	readerDown              alert = "AttestationReaderDown"
	collectorFailing        alert = "AttestationCollectorFailing"
	tpmUnavailable          alert = "TPMUnavailable"
	tpmPCRMismatch          alert = "TPMPCRMismatch"
	tpmLockedOut            alert = "TPMLockedOut"
	tpmSelfTestFailed       alert = "TPMSelfTestFailed"
	diskUnlockWillFail      alert = "DiskUnlockWillFail"
	diskUnlockAtRisk        alert = "DiskUnlockAtRisk"
	diskWithoutFallback     alert = "DiskWithoutFallback"
	verifierUnreachable     alert = "KeylimeVerifierUnreachable"
	registrarUnreachable    alert = "KeylimeRegistrarUnreachable"
	integrityFailure        alert = "KeylimeIntegrityFailure"
	agentStopped            alert = "KeylimeAgentStopped"
	agentGivenUp            alert = "KeylimeAgentGivenUp"
	attestationStale        alert = "KeylimeAttestationStale"
	nobodyAttested          alert = "KeylimeNobodyAttested"
	agentNotVerified        alert = "KeylimeAgentNotVerified"
	defaultUUID             alert = "KeylimeDefaultUUID"
	agentClaimedTwice       alert = "KeylimeAgentClaimedTwice"
	localAgentDown          alert = "KeylimeLocalAgentDown"
	spireServerDown         alert = "SPIREServerDown"
	spireServerOneDown      alert = "SPIREServerOneDown"
	spireAgentDown          alert = "SPIREAgentDown"
	spireAgentNotSyncing    alert = "SPIREAgentNotSyncing"
	spireAgentNotRenewing   alert = "SPIREAgentNotRenewing"
	spireAgentExpired       alert = "SPIREAgentExpired"
	spireTrustsFailedAgent  alert = "SPIRETrustsFailedAgent"
	spireUnwanted           alert = "SPIREUnwantedAttestation"
	spirePluginMismatch     alert = "SPIREPluginChecksumMismatch"
	spireNotRotated         alert = "SPIREAuthorityNotRotated"
	bundleExpiringSoon      alert = "TrustBundleExpiringSoon"
	bundleExpiryCritical    alert = "TrustBundleExpiryCritical"
	bundleOutdated          alert = "TrustBundleOutdated"
	bundleUnreadable        alert = "TrustBundleUnreadable"
	certificateExpiringSoon alert = "CertificateExpiringSoon"
	certificateCritical     alert = "CertificateExpiryCritical"
	certificateExpired      alert = "CertificateExpired"
	certificateNotYetValid  alert = "CertificateNotYetValid"
	certificateChain        alert = "CertificateChainInvalid"
	certificateUnreadable   alert = "CertificateUnreadable"
	timerNotRunning         alert = "TimerNotRunning"
	timerOverdue            alert = "TimerOverdue"
	timerServiceFailed      alert = "TimerServiceFailed"
	timerServiceStuck       alert = "TimerServiceStuck"
)

// severity is what the rules say that the alert is.
func (a alert) severity() State {
	switch a {
	case collectorFailing, tpmPCRMismatch, diskUnlockWillFail, diskUnlockAtRisk, registrarUnreachable, agentStopped,
		agentNotVerified, defaultUUID, spireServerOneDown, spireAgentNotRenewing, spireAgentExpired, spireUnwanted,
		bundleExpiringSoon, bundleOutdated, certificateExpiringSoon, certificateNotYetValid, certificateUnreadable,
		timerNotRunning, timerOverdue, timerServiceFailed, timerServiceStuck:
		return Warning
	default:
		return Critical
	}
}

// loud reports whether the alert comes first among the critical ones: somebody may
// be in the house.
func (a alert) loud() bool { return a == integrityFailure || a == spireTrustsFailedAgent }
