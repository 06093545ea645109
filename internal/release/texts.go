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

// writeTexts lays down what is made from the program's own flags: shell completions
// and manual pages. The command status parses its own flags, so it has its own page.
func writeTexts(ctx context.Context, binary, name, directory string, s source) error {
	for _, words := range [][]string{{name}, {name, "status"}} {
		help, err := exec.CommandContext(ctx, binary, append(words[1:], "--help-man")...).Output()
		if err != nil {
			return fmt.Errorf("%v --help-man: %w", words, err)
		}
		manual, err := manualPage(string(help), words, s)
		if err != nil {
			return err
		}
		if err := writeManual(filepath.Join(directory, strings.Join(words, "-")+".1"), []byte(manual)); err != nil {
			return err
		}
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
// around kingpin's page of the command that words name.
func manualPage(help string, words []string, s source) (string, error) {
	_, body, ok := strings.Cut(help, fmt.Sprintf(nameSection, strings.Join(words, " ")))
	if !ok {
		return "", fmt.Errorf("the page of --help-man has no section NAME of %v", words)
	}
	title := strings.Join(words, "-")
	var page strings.Builder
	fmt.Fprintf(&page, ".TH %s 1 %q %q\n", strings.ToUpper(title), s.Time.Format("2006-01-02"), words[0]+" "+s.Version)
	fmt.Fprintf(&page, ".SH NAME\n%s \\- Prometheus exporter for a host's chain of trust\n", title)
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
.BR attestation_exporter (1),
.BR attestation_exporter-status (1),
.BR tpm2_pcrread (1)
`
