package firmware

import (
	"fmt"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
)

// Extend extends the PCRs of a TPM as the firmware that wrote the log did.
func (l *Log) Extend(chip transport.TPM) error {
	for i, event := range l.Events {
		var digests []tpm2.TPMTHA
		for _, bank := range l.Banks {
			digests = append(digests, tpm2.TPMTHA{HashAlg: tpm2.TPMIAlgHash(bank), Digest: event.Digests[bank]})
		}
		_, err := tpm2.PCRExtend{
			PCRHandle: tpm2.AuthHandle{Handle: tpm2.TPMHandle(event.PCR), Auth: tpm2.PasswordAuth(nil)},
			Digests:   tpm2.TPMLDigestValues{Digests: digests},
		}.Execute(chip)
		if err != nil {
			return fmt.Errorf("event %d, PCR %d: %w", i, event.PCR, err)
		}
	}
	return nil
}
