package tpm

import (
	"context"
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-tpm/tpm2"

	"funlab.casa/attestation_exporter/failure"
)

// A chip that answers its first command after two minutes keeps one reading for so
// long, however often it is asked meanwhile. When it has answered, the next reading
// is as good as any.
func TestLateAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const late, interval, patience = 120 * time.Second, 15 * time.Second, 10 * time.Second
		fake := newFakeTPM()
		slow := true
		fake.answer = func(tpm2.TPMCC) []byte {
			if slow {
				time.Sleep(late) // No context reaches a device.
				slow = false
			}
			return nil
		}
		source := fake.source(Select(NewPCRSet(0, 7), SHA256))
		var opened atomic.Int32
		source.open = func(context.Context, string) (io.ReadWriteCloser, error) { opened.Add(1); return fake, nil }
		shared := NewShared(source, time.Second)
		read := func() (Reading, error) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			return shared.Read(ctx)
		}
		for begin := time.Now(); time.Since(begin) < late; time.Sleep(interval - patience) {
			if reading, err := read(); failure.Of(err) != failure.Timeout || reading.PCRs != nil {
				t.Errorf("after %v: got %+v, %v, want a timeout", time.Since(begin), reading, err)
			}
			if opened.Load() != 1 {
				t.Fatalf("after %v: got the device opened %d times, want once", time.Since(begin), opened.Load())
			}
		}
		reading, err := read()
		if got := places(reading.PCRs); err != nil || len(got) != 2 || opened.Load() != 2 {
			t.Errorf("afterwards: got %v, %v from opening it %d times, want both PCRs from the second", got, err, opened.Load())
		}
	})
}
