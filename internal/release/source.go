package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// A source is the commit that is built.
type source struct {
	Version, Revision, Branch string
	// Time is the commit's own, and the only time that goes into what is built.
	Time time.Time
}

// readSource asks git. A tree without it, such as an unpacked archive, builds too,
// and says that it doesn't know.
func readSource(ctx context.Context, version string) (source, error) {
	s := source{Version: version, Revision: "unknown", Branch: "unknown", Time: time.Unix(0, 0).UTC()}
	if version == "" {
		content, err := os.ReadFile("VERSION")
		if err != nil {
			return s, err
		}
		s.Version = strings.TrimSpace(string(content))
	}
	if _, err := os.Stat(".git"); errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	var err error
	if s.Revision, err = git(ctx, "rev-parse", "HEAD"); err != nil {
		return s, err
	}
	if s.Branch, err = git(ctx, "rev-parse", "--abbrev-ref", "HEAD"); err != nil {
		return s, err
	}
	text, err := git(ctx, "log", "-1", "--format=%ct")
	if err != nil {
		return s, err
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return s, fmt.Errorf("time of the commit: %w", err)
	}
	s.Time = time.Unix(seconds, 0).UTC()
	return s, nil
}

func git(ctx context.Context, args ...string) (string, error) {
	output, err := exec.CommandContext(ctx, "git", args...).Output()
	if err != nil {
		return "", fmt.Errorf("git %s: %w", strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(output)), nil
}
