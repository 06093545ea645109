package main

import (
	"errors"
	"log/slog"
	"os"

	"github.com/alecthomas/kingpin/v2"

	"funlab.casa/attestation_exporter/collector"
	"funlab.casa/attestation_exporter/keylime"
	"funlab.casa/attestation_exporter/reader"
)

// choices are the collectors that the command line knows, with their options.
type choices struct {
	disableDefaults *bool
	all             []*choice
	tpm             *tpmLayer // for the command baseline, too
}

// A choice is one collector. Its build is called after the command line is parsed.
type choice struct {
	name    string
	enabled bool
	asked   bool // the user said whether
	build   build
}

func addCollectors(app *kingpin.Application) *choices {
	c := &choices{}
	c.disableDefaults = app.Flag("collector.disable-defaults", "Run only the collectors that are enabled by their flag.").Bool()

	c.tpm = addTPMLayer(app)
	spire := addSPIRELayer(app)
	files := keylime.NewFiles("", os.LookupEnv) // Where Keylime itself would look.
	certificates := addCertificateLayer(app, files)
	c.add(app, "tpm", "PCRs, clock, lockout and self-test of the TPM, and its EK certificates.",
		c.tpm.build(func(t *tpmTopics) parts { return partsOf(t.tpm, t.tpmPlaces, collector.NewTPM) }))
	c.add(app, "boot", "The measured boot: event log, Secure Boot, IMA, and what the next boot will measure.",
		c.tpm.build(func(t *tpmTopics) parts { return partsOf(t.boot, t.bootPlaces, collector.NewBoot) }))
	c.add(app, "luks", "Encrypted disks: whether their TPM bindings hold, and what else opens them.",
		c.tpm.build(func(t *tpmTopics) parts { return partsOf(t.luks, t.luksPlaces, collector.NewLUKS) }))
	c.add(app, "keylime-verifier", "Agents as a Keylime verifier judges them.", addKeylimeVerifier(app, files))
	c.add(app, "keylime-registrar", "Agents as a Keylime registrar knows them.", addKeylimeRegistrar(app, files))
	c.add(app, "keylime-agent", "This host's Keylime agent.", addKeylimeAgent(app, files, c.tpm, spire, certificates))
	c.add(app, "certificate", "Certificates in files and behind TLS endpoints.", certificates.build)
	c.add(app, "spire-agent", "This host's SPIRE agent and its SVID.", spire.buildAgent)
	spire.serverChoice = c.addOff(app, "spire-server", "Agents, authorities and entries of this host's SPIRE server, by a socket whose group is full administration.", spire.buildServer)
	c.add(app, "spire-plugins", "External plugins of SPIRE against the checksums that they are pinned by.", spire.buildPlugins)
	c.add(app, "trust-bundle", "Copies of SPIFFE trust bundles, and how they differ from the live one.", spire.buildTrustBundle)
	c.add(app, "reader", "Whether the privileged reader answers, where there is one.", buildReader)
	c.add(app, "timer", "systemd timers and the services that they start.", addTimer(app))
	return c
}

type build = func(*slog.Logger) (parts, error)

// add makes a collector that runs unless it is switched off.
func (c *choices) add(app *kingpin.Application, name, help string, with build) {
	c.choose(app, name, help, "true", with)
}

// addOff makes a collector that runs only when it is asked for.
func (c *choices) addOff(app *kingpin.Application, name, help string, with build) *choice {
	return c.choose(app, name, help, "false", with)
}

func (c *choices) choose(app *kingpin.Application, name, help, enabled string, with build) *choice {
	one := &choice{name: name, build: with}
	app.Flag("collector."+name, help).Default(enabled).IsSetByUser(&one.asked).BoolVar(&one.enabled)
	c.all = append(c.all, one)
	return one
}

// build makes the parts of the collectors that are enabled, by name.
func (c *choices) build(logger *slog.Logger) (map[string]parts, error) {
	enabled := map[string]parts{}
	for _, one := range c.all {
		if !one.enabled || *c.disableDefaults && !one.asked {
			continue
		}
		made, err := one.build(logger)
		if err != nil {
			return nil, err
		}
		enabled[one.name] = made
	}
	if len(enabled) == 0 {
		return nil, errors.New("no collector is enabled: --collector.tpm enables one of them")
	}
	return enabled, nil
}

// collectorsOf are for the exporter. They leave to its privileged reader what that
// answers, where there is one.
func collectorsOf(enabled map[string]parts, client reader.Client) (map[string]collector.Collector, error) {
	made := map[string]collector.Collector{}
	for name, parts := range enabled {
		var err error
		if made[name], err = parts.collector(client); err != nil {
			return nil, err
		}
	}
	return made, nil
}

// questions are for the reader. What its command line switches off is no question.
func (c *choices) questions(logger *slog.Logger) ([]*reader.Question, error) {
	enabled, err := c.build(logger)
	if err != nil {
		return nil, err
	}
	var questions []*reader.Question
	for _, parts := range enabled {
		questions = append(questions, parts.questions...)
	}
	return questions, nil
}
