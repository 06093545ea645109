package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
)

// checkReady refuses a release that its changelog doesn't date, or that no commit
// holds.
func checkReady(ctx context.Context, s source) error {
	content, err := os.ReadFile("CHANGELOG.md")
	if err != nil {
		return err
	}
	if err := datedChangelog(string(content), s.Version); err != nil {
		return err
	}
	changes, err := git(ctx, "status", "--porcelain")
	if err != nil {
		return err
	}
	if changes != "" {
		return errors.New("commit first: the tree differs from its commit")
	}
	return nil
}

// The newest version stands first: "## 0.1.0 / 2026-12-01".
var newestVersion = regexp.MustCompile(`(?m)^## (\S+) / (\S+)$`)

// datedChangelog checks that the newest version in the changelog is the one to be
// released, and has its date.
func datedChangelog(changelog, version string) error {
	newest := newestVersion.FindStringSubmatch(changelog)
	switch {
	case newest == nil:
		return errors.New(`CHANGELOG.md has no heading of the form "## 0.1.0 / 2026-12-01"`)
	case newest[1] != version:
		return fmt.Errorf("CHANGELOG.md begins with %s, and VERSION says %s", newest[1], version)
	case !isDate.MatchString(newest[2]):
		return fmt.Errorf("CHANGELOG.md says %q for %s: give it the day of the release", newest[2], version)
	}
	return nil
}

var isDate = regexp.MustCompile(`^\d{4}-\d{2}-\d{2}$`)
