package status

import (
	"strings"
	"unicode/utf8"
)

// shorten cuts text to n characters. The end of a path or an id tells more than
// its beginning, and stays.
func shorten(text string, n int) string {
	over := utf8.RuneCountInString(text) - n
	if over <= 0 {
		return text
	}
	return "…" + string([]rune(text)[over+1:])
}

// pad fills text up to n characters.
func pad(text string, n int) string {
	return text + strings.Repeat(" ", max(0, n-utf8.RuneCountInString(text)))
}

// wrap breaks text into lines of at most n characters, at spaces where it can.
func wrap(text string, n int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) <= n {
			line += " " + word
			continue
		}
		if line != "" {
			lines = append(lines, line)
		}
		for utf8.RuneCountInString(word) > n {
			runes := []rune(word)
			lines, word = append(lines, string(runes[:n])), string(runes[n:])
		}
		line = word
	}
	return append(lines, line)
}

// longest is the length of the longest of the texts, at most limit.
func longest(limit int, texts []string) int {
	n := 0
	for _, text := range texts {
		n = max(n, utf8.RuneCountInString(text))
	}
	return min(n, limit)
}
