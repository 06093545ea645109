package main

import (
	"fmt"
	"os"
	"path"
	"strings"
	"text/template"

	"go.yaml.in/yaml/v3"
)

// A project is what .promu.yml says: how to build, for whom, and what goes into a
// tarball. promu itself would do the same, but stamps the time of the build.
type project struct {
	Repository struct {
		Path string `yaml:"path"`
	} `yaml:"repository"`
	Build struct {
		Flags   string `yaml:"flags"`
		LDFlags string `yaml:"ldflags"`
	} `yaml:"build"`
	Tarball struct {
		Files []string `yaml:"files"`
	} `yaml:"tarball"`
	Crossbuild struct {
		Platforms []string `yaml:"platforms"`
	} `yaml:"crossbuild"`
}

func readProject(file string) (project, error) {
	var p project
	content, err := os.ReadFile(file)
	if err != nil {
		return p, err
	}
	if err := yaml.Unmarshal(content, &p); err != nil {
		return p, fmt.Errorf("parse %s: %w", file, err)
	}
	return p, nil
}

func (p project) name() string { return path.Base(p.Repository.Path) }

// ldflags fills in the template with the facts of source. Its date is the commit's.
func (p project) ldflags(s source) (string, error) {
	parsed, err := template.New("ldflags").
		Funcs(template.FuncMap{"date": s.Time.Format}).
		Option("missingkey=error").
		Parse(p.Build.LDFlags)
	if err != nil {
		return "", fmt.Errorf("parse build.ldflags: %w", err)
	}
	var text strings.Builder
	if err := parsed.Execute(&text, s); err != nil {
		return "", fmt.Errorf("fill in build.ldflags: %w", err)
	}
	return strings.Join(strings.Fields(text.String()), " "), nil
}

// A platform is what a binary runs on.
type platform struct{ os, arch string }

func (p project) platforms() ([]platform, error) {
	platforms := make([]platform, 0, len(p.Crossbuild.Platforms))
	for _, text := range p.Crossbuild.Platforms {
		system, arch, ok := strings.Cut(text, "/")
		if !ok {
			return nil, fmt.Errorf("crossbuild.platforms: %q isn't of the form linux/amd64", text)
		}
		platforms = append(platforms, platform{system, arch})
	}
	return platforms, nil
}
