package certs

// DefaultFiles returns the certificates of Keylime, of the TPM's device identity
// and of step-ca where these usually are. step's files in root's home are not
// among them: nobody but root can see whether there are any, so that on most hosts
// their silence could mean either.
func DefaultFiles() []File {
	return optional(
		"/etc/keylime/certs/agent.crt",
		"/etc/keylime/certs/registrar.crt",
		"/etc/keylime/certs/verifier.crt",
		"/etc/step-ca/certs/*.crt",
		"/var/lib/tpm2-devid/devid.crt",
	)
}

// DefaultChains returns how Keylime's servers and agent verify each other.
func DefaultChains() []Chain {
	const ca = "/etc/keylime/certs/ca-root-only.crt"
	return []Chain{
		{File: "/etc/keylime/certs/agent.crt", CAFile: ca, Optional: true},
		{File: "/etc/keylime/certs/registrar.crt", CAFile: ca, Optional: true},
		{File: "/etc/keylime/certs/verifier.crt", CAFile: ca, Optional: true},
	}
}

// DefaultBundles returns where hosts keep a copy of SPIRE's trust bundle.
func DefaultBundles() []File {
	return optional("/etc/spire/trust-bundle.pem")
}

func optional(paths ...string) []File {
	files := make([]File, 0, len(paths))
	for _, path := range paths {
		files = append(files, File{Path: path, Optional: true})
	}
	return files
}
