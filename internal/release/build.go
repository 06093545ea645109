package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
)

func here() platform { return platform{runtime.GOOS, runtime.GOARCH} }

// build makes the static binary for one platform.
func build(ctx context.Context, p project, s source, target platform, output string) error {
	ldflags, err := p.ldflags(s)
	if err != nil {
		return err
	}
	args := append([]string{"build"}, strings.Fields(p.Build.Flags)...)
	args = append(args, "-ldflags", ldflags, "-o", output, ".")
	return command(ctx, []string{"CGO_ENABLED=0", "GOOS=" + target.os, "GOARCH=" + target.arch}, "go", args...)
}

// command runs a tool with variables beside those of this process, and shows what
// it says.
func command(ctx context.Context, variables []string, name string, args ...string) error {
	fmt.Fprintln(os.Stderr, strings.Join(append(append(variables, name), args...), " "))
	tool := exec.CommandContext(ctx, name, args...)
	tool.Env = append(os.Environ(), variables...)
	tool.Stdout, tool.Stderr = os.Stderr, os.Stderr
	if err := tool.Run(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}
