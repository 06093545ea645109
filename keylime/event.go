package keylime

import (
	"strconv"
	"strings"
)

// OtherEvent stands for an event that isn't known, or wasn't named.
const OtherEvent = "other"

// boundedEvent returns event where it is of the known set, else OtherEvent. The
// name of a measured-boot policy is cut off, since operators choose it.
func boundedEvent(event string) string {
	const policy = "measured_boot.policy"
	switch {
	case isKnownEvent(event), isPCREvent(event):
		return event
	case strings.HasPrefix(event, policy+"_"):
		return policy
	}
	return OtherEvent
}

// isKnownEvent knows the events that a verifier gives as the reason of a failed
// attestation, spelled as upstream spells them (keylime/failure.py and its callers).
func isKnownEvent(event string) bool {
	switch event {
	case "internal.verifier.not_reachable",
		"internal.verifier.not_reachable_v",
		"internal.verifier.no_quote",
		"internal.verifier.no_v",
		"internal.verifier.exception",
		"internal.verifier.version_not_supported",
		"qoute_validation.quote_validation",
		"qoute_validation.invalid_data",
		"qoute_validation.no_pubkey",
		"qoute_validation.invalid_hash_alg",
		"qoute_validation.invalid_enc_alg",
		"qoute_validation.invalid_sign_alg",
		"qoute_validation.invalid_ima_entry_nb",
		"pcr_validation.missing_pcrs",
		"pcr_validation.invalid_mb_policy",
		"pcr_validation.invalid_measured_boot_evaluate",
		"measured_boot.missing_pcrs",
		"measured_boot.parser.log.base64decode",
		"measured_boot.parser.tpm2_eventlog.error",
		"ima.pcr_mismatch",
		"ima.quote_progress",
		"ima.parser.entry",
		"ima.invalid_key",
		"ima.validation.ima_hash",
		"ima.validation.ima_pcr",
		"ima.validation.no_validator",
		"ima.validation.tomtou",
		"ima.validation.ima-ng.not_in_allowlist",
		"ima.validation.ima-ng.runtime_policy_hash",
		"ima.validator.ima-sig.invalid_signature":
		return true
	}
	return false
}

// isPCREvent reports whether event names one of the 24 PCRs of a TPM, such as
// pcr_validation.invalid_pcr_4.
func isPCREvent(event string) bool {
	prefix, pcr, found := strings.Cut(event, "_pcr_")
	n, err := strconv.ParseUint(pcr, 10, 8)
	if !found || err != nil || n > 23 || pcr != strconv.FormatUint(n, 10) {
		return false
	}
	switch prefix {
	case "pcr_validation.invalid", "pcr_validation.missing", "pcr_validation.unused",
		"measured_boot.invalid", "ima.invalid", "ima.missing":
		return true
	}
	return false
}
