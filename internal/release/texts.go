package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// writeTexts lays down what is made from the program's own flags: manual page and
// shell completions.
func writeTexts(ctx context.Context, binary, name, directory string, s source) error {
	help, err := exec.CommandContext(ctx, binary, "--help-man").Output()
	if err != nil {
		return fmt.Errorf("%s --help-man: %w", binary, err)
	}
	manual, err := manualPage(string(help), name, s)
	if err != nil {
		return err
	}
	if err := writeManual(filepath.Join(directory, name+".1"), []byte(manual)); err != nil {
		return err
	}
	for _, shell := range []string{"bash", "zsh"} {
		script, err := exec.CommandContext(ctx, binary, "--completion-script-"+shell).Output()
		if err != nil {
			return fmt.Errorf("%s --completion-script-%s: %w", binary, shell, err)
		}
		// zsh wants #compdef in the first line of a file.
		script = append(bytes.TrimSpace(script), '\n')
		if err := os.WriteFile(filepath.Join(directory, "completion."+shell), script, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// writeManual writes the page as it is, for tarballs, and compressed as man expects
// it in a system's folders.
func writeManual(path string, page []byte) error {
	var zipped bytes.Buffer
	compressor := gzip.NewWriter(&zipped)
	if _, err := compressor.Write(page); err != nil {
		return err
	}
	if err := compressor.Close(); err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(path, page, 0o644),
		os.WriteFile(path+".gz", zipped.Bytes(), 0o644),
	)
}

// nameSection is how kingpin's page goes from its title to the synopsis.
const nameSection = ".SH \"NAME\"\n%s\n"

// manualPage puts a title that man can index, and sections on what isn't a flag,
// around kingpin's page.
func manualPage(help, name string, s source) (string, error) {
	_, body, ok := strings.Cut(help, fmt.Sprintf(nameSection, name))
	if !ok {
		return "", fmt.Errorf("the page of --help-man has no section NAME of %s", name)
	}
	var page strings.Builder
	fmt.Fprintf(&page, ".TH %s 1 %q %q\n", strings.ToUpper(name), s.Time.Format("2006-01-02"), name+" "+s.Version)
	fmt.Fprintf(&page, ".SH NAME\n%s \\- Prometheus exporter for a host's chain of trust\n", name)
	page.WriteString(body)
	page.WriteString(manualEnd)
	return page.String(), nil
}

const manualEnd = `.SH "DEFAULTS"
All collectors but spire-server are on, and silent where their subject isn't installed.
\fB--no-collector.NAME\fR turns one off.
.SH "FILES"
.TP
\fI/etc/default/attestation_exporter\fR
The options that the packaged units start exporter and reader with.
.TP
\fI/etc/attestation_exporter/pcr-baseline.json\fR
The PCR values that are expected.
.TP
\fI/run/attestation_exporter/reader.sock\fR
The socket of the reader.
.TP
\fI/usr/share/attestation_exporter\fR
Alerting rules and dashboards.
.SH "SEE ALSO"
.BR systemd.exec (5),
.BR tpm2_pcrread (1)
`
