package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// A terminal is where a screen is drawn, or isn't one.
type terminal struct {
	is            bool
	color         bool
	columns, rows int
}

// terminalOf asks the kernel. Colour is for terminals that have it, unless NO_COLOR
// says otherwise (no-color.org).
func terminalOf(out io.Writer) terminal {
	file, ok := out.(*os.File)
	if !ok {
		return terminal{}
	}
	size, err := unix.IoctlGetWinsize(int(file.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return terminal{}
	}
	kind := os.Getenv("TERM")
	return terminal{
		is:    true,
		color: os.Getenv("NO_COLOR") == "" && kind != "" && kind != "dumb",
		// A terminal may not know its size, which is then 0.
		columns: int(size.Col), rows: int(size.Row),
	}
}

// frame makes text one picture of a series. On a terminal it is drawn over the last
// one from the upper left corner (ECMA-48, CUP, EL and ED), which doesn't flicker;
// what has no room is counted.
func (t terminal) frame(text string) string {
	if !t.is {
		return text + "\n"
	}
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if over := len(lines) - (t.rows - 1); t.rows > 1 && over > 0 {
		lines = append(lines[:len(lines)-over-1], fmt.Sprintf("… %d more lines", over+1))
	}
	return "\x1b[H" + strings.Join(lines, "\x1b[K\n") + "\x1b[K\n\x1b[J"
}
