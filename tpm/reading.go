package tpm

import (
	"encoding/hex"
	"errors"
	"time"

	"funlab.casa/attestation_exporter/certs"
)

// ErrAbsent says that this host has no TPM 2.0 and that nobody claimed it had.
var ErrAbsent = errors.New("no TPM 2.0")

// Where a reading came from.
const (
	FromDevice = "device" // TPM commands
	FromSysfs  = "sysfs"  // the kernel's read-only files: PCRs and nothing else
)

// A Reading is what one look at the TPM found. What could not be read is nil, or
// empty.
type Reading struct {
	// Source is FromDevice or FromSysfs.
	Source string
	// Boot names the boot that the PCRs belong to: the TPM's own resetCount and
	// restartCount where it could be asked, else the kernel's boot id. While it is
	// the same, a PCR that stays put shows the same digest.
	Boot string
	// PCRs are sorted by bank, then by index.
	PCRs []PCR
	// PCRUpdates is the TPM's pcrUpdateCounter, from the last answer to
	// TPM2_PCR_Read.
	PCRUpdates *uint32
	Properties *Properties
	Clock      *Clock
	Lockout    *Lockout
	SelfTest   SelfTest
	// EKCertificates are sorted by NV index.
	EKCertificates []EKCertificate
	Baseline       *Comparison
	// Commands is the number of TPM commands that the reading cost, repetitions
	// included. A PCR read from sysfs is one command of the kernel's.
	Commands int
}

// A PCR is the value of one platform configuration register.
type PCR struct {
	Bank   Bank
	Index  int
	Digest Digest
}

// A Digest is written in lower-case hexadecimal.
type Digest []byte

func (d Digest) String() string { return hex.EncodeToString(d) }

// MarshalText implements encoding.TextMarshaler.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler. Both cases are accepted.
func (d *Digest) UnmarshalText(text []byte) error {
	decoded, err := hex.DecodeString(string(text))
	*d = decoded
	return err
}

// Properties are what a TPM says about itself (TPM 2.0 Library, part 2, section
// 6.13, TPM_PT). Each is empty where the TPM left it out.
type Properties struct {
	Manufacturer string // TPM_PT_MANUFACTURER, such as "IFX"
	Vendor       string // the four TPM_PT_VENDOR_STRINGs, such as "SLB9670"
	Firmware     string // the 16-bit halves of both TPM_PT_FIRMWARE_VERSIONs, such as "7.85.17.51968"
	Revision     string // TPM_PT_REVISION, of the specification, such as "1.38"
}

// Clock is the answer to TPM2_ReadClock (part 2, section 10.11.1,
// TPMS_CLOCK_INFO).
type Clock struct {
	// Running is how long the TPM has been powered since its owner was last
	// cleared.
	Running time.Duration
	// Resets counts TPM Resets (reboots) since TPM2_Clear, which sets it to 0.
	Resets uint32
	// Restarts counts TPM Restarts and Resumes (suspends) since the last reset.
	Restarts uint32
	// Safe is false when a value of Running may have been reported before,
	// because the TPM lost power unexpectedly.
	Safe bool
}

// Lockout is the state of the dictionary-attack protection (part 1, "Dictionary
// Attack Protection").
type Lockout struct {
	Failures    uint32 // TPM_PT_LOCKOUT_COUNTER; falls by itself with time
	MaxFailures uint32 // TPM_PT_MAX_AUTH_FAIL
	LockedOut   bool   // inLockout of TPM_PT_PERMANENT
}

// SelfTest is the verdict of TPM2_GetTestResult. It is empty where the TPM did
// not answer.
type SelfTest string

// The verdicts of a self-test.
const (
	SelfTestPassed  SelfTest = "passed"
	SelfTestFailed  SelfTest = "failed"  // TPM_RC_FAILURE: the TPM is in failure mode
	SelfTestUnknown SelfTest = "unknown" // a test is running or still to be done
)

// An EKCertificate is the certificate of an endorsement key, found in the TPM's
// NV memory.
type EKCertificate struct {
	Index       uint32 // NV index
	Certificate certs.Certificate
	// PublicKey is the endorsement key itself, as a SubjectPublicKeyInfo in DER.
	PublicKey []byte `json:",omitempty"`
	// Failed is the reason why something that is a certificate by its shape has
	// no facts; else it is empty.
	Failed certs.LoadReason
}
