package boot

import (
	"bytes"
	"slices"

	"funlab.casa/attestation_exporter/tpm"
)

// The PCRs that files and variables go into (Platform Firmware Profile, section
// 3.3.4: boot manager code, Secure Boot policy).
const (
	bootManagerPCR = 4
	secureBootPCR  = 7
)

// A File is something that the next boot will measure, compared with what this one
// measured.
type File struct {
	Path string
	PCR  int
	// Matches is false when the next boot's PCR will differ.
	Matches bool
}

// A fingerprint is an application with its Authenticode digest.
type fingerprint struct {
	path   string
	digest tpm.Digest
}

// fingerprints are the applications of the next boot, and the kernel of this one.
type fingerprints struct {
	loaders  []fingerprint
	kernel   *fingerprint
	optional bool         // see chain
	running  *fingerprint // the file that this boot's kernel came from, if it is known
}

// measuredApplications returns what the log says was measured as an application,
// each digest once: shim is asked for a kernel twice, and measures it twice.
func measuredApplications(log tpm.Log, bank tpm.Bank) []tpm.Digest {
	var digests []tpm.Digest
	for _, event := range log.Events {
		if event.PCR == bootManagerPCR && event.Type == tpm.EventBootApplication {
			if digest := event.Digests[bank]; digest != nil && !contains(digests, digest) {
				digests = append(digests, digest)
			}
		}
	}
	return digests
}

func contains(digests []tpm.Digest, digest tpm.Digest) bool {
	return slices.ContainsFunc(digests, func(d tpm.Digest) bool { return bytes.Equal(d, digest) })
}

// compare tells for each application of the next boot whether this boot measured
// it. A kernel whose measurement is optional is left out if this boot measured no
// more than the loaders.
func (p fingerprints) compare(measured []tpm.Digest) []File {
	var files []File
	for _, loader := range p.loaders {
		files = append(files, File{loader.path, bootManagerPCR, contains(measured, loader.digest)})
	}
	if p.kernel == nil {
		return files
	}
	matches := contains(measured, p.kernel.digest)
	kernelMeasured := matches || len(measured) > len(p.loaders) ||
		(p.running != nil && contains(measured, p.running.digest))
	if !p.optional || kernelMeasured {
		files = append(files, File{p.kernel.path, bootManagerPCR, matches})
	}
	return files
}

// reproduce finds out what was measured where there is no log: the applications
// whose digests, extended the way that firmware does it, give PCR 4's value. That
// fails as soon as a loader was replaced, and then nobody can say which.
func (p fingerprints) reproduce(bank tpm.Bank, pcr4 tpm.Digest) ([]tpm.Digest, bool) {
	var loaders []tpm.Digest
	for _, loader := range p.loaders {
		loaders = append(loaders, loader.digest)
	}
	ways := [][]tpm.Digest{loaders}
	for _, kernel := range []*fingerprint{p.kernel, p.running} {
		if kernel != nil {
			once := append(slices.Clone(loaders), kernel.digest)
			ways = append(ways, once, append(slices.Clone(once), kernel.digest))
		}
	}
	for _, way := range ways {
		if bytes.Equal(bootManagerValue(bank, way), pcr4) {
			return way, true
		}
	}
	return nil, false
}

// bootManagerValue is PCR 4 after the first boot option's applications: the
// action, the separator, then each of them (Platform Firmware Profile, section
// 3.3.4.5). It is nil for a digest of another bank.
func bootManagerValue(bank tpm.Bank, applications []tpm.Digest) tpm.Digest {
	value := make(tpm.Digest, bank.Hash().Size())
	events := append([]tpm.Digest{
		bank.Digest([]byte("Calling EFI Application from Boot Option")),
		bank.Digest(make([]byte, 4)),
	}, applications...)
	for _, event := range events {
		var ok bool
		if value, ok = bank.Extend(value, event); !ok {
			return nil
		}
	}
	return value
}
