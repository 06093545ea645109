package tpm

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"funlab.casa/attestation_exporter/failure"
)

// readClock returns the clock and the counters of resets and restarts.
func readClock(chip transport.TPM) (*Clock, error) {
	response, err := run(chip, "TPM2_ReadClock", tpm2.ReadClock{}.Execute)
	if err != nil {
		return nil, err
	}
	info := response.CurrentTime.ClockInfo
	if info.Clock > math.MaxInt64/uint64(time.Millisecond) {
		return nil, failure.Errorf(failure.Malformed, "TPM2_ReadClock: %d ms is more than 292 years", info.Clock)
	}
	return &Clock{
		Running:  time.Duration(info.Clock) * time.Millisecond,
		Resets:   info.ResetCount,
		Restarts: info.RestartCount,
		Safe:     info.Safe,
	}, nil
}

// boot names the boot that the clock belongs to.
func (c *Clock) boot() string { return fmt.Sprintf("%d.%d", c.Resets, c.Restarts) }

// readSelfTest returns the verdict of the last self-test. The TPM answers this
// command in failure mode too (TPM 2.0 Library, part 3, section 10.4).
func readSelfTest(chip transport.TPM) (SelfTest, error) {
	result, err := run(chip, "TPM2_GetTestResult", getTestResult)
	if err != nil {
		return "", err
	}
	switch *result {
	case tpm2.TPMRCSuccess:
		return SelfTestPassed, nil
	case tpm2.TPMRCFailure:
		return SelfTestFailed, nil
	default:
		return SelfTestUnknown, nil
	}
}

// getTestResult executes the one command here that go-tpm doesn't know. Its
// answer is a sized buffer in a form of the vendor's, then a TPM_RC.
func getTestResult(chip transport.TPM, _ ...tpm2.Session) (*tpm2.TPMRC, error) {
	response, err := chip.Send(tpm2.Marshal(tpm2.TPMCmdHeader{
		Tag: tpm2.TPMSTNoSessions, Length: headerSize, CommandCode: tpm2.TPMCCGetTestResult,
	}))
	if err != nil {
		return nil, err
	}
	if code := tpm2.TPMRC(responseCode(response)); code != tpm2.TPMRCSuccess {
		return nil, code
	}
	parameters := response[headerSize:]
	vendor := int(binary.BigEndian.Uint16(parameters))
	if len(parameters) != 2+vendor+4 {
		return nil, fmt.Errorf("answer of %d bytes with %d of the vendor's", len(parameters), vendor)
	}
	result := tpm2.TPMRC(binary.BigEndian.Uint32(parameters[2+vendor:]))
	return &result, nil
}
