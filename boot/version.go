package boot

import (
	"cmp"
	"strings"
)

// compareVersions orders versions as the UAPI Group's Version Format
// Specification (UAPI.10) does: digits by their value, letters by their order,
// "~" before even the end of a version, and each of "-", "^" and "." before
// whatever else could stand in its place.
func compareVersions(a, b string) int {
	for {
		a, b = skipOthers(a), skipOthers(b)
		if order, decided := compareMark(&a, &b, '~'); decided {
			return order
		}
		if a == "" || b == "" {
			return cmp.Compare(min(len(a), 1), min(len(b), 1))
		}
		for _, mark := range []byte("-^.") {
			if order, decided := compareMark(&a, &b, mark); decided {
				return order
			}
		}
		belongs := isLetter
		if leadingIs(a, isDigit) || leadingIs(b, isDigit) {
			belongs = isDigit
		}
		var partA, partB string
		partA, a = leading(a, belongs)
		partB, b = leading(b, belongs)
		if order := compareParts(partA, partB, leadingIs(partA+partB, isDigit)); order != 0 {
			return order
		}
	}
}

// compareMark decides where one side has the mark and the other hasn't: the one
// with the mark is older. Where both have it, it is passed over.
func compareMark(a, b *string, mark byte) (int, bool) {
	hasA, hasB := leadingIs(*a, is(mark)), leadingIs(*b, is(mark))
	switch {
	case hasA && !hasB:
		return -1, true
	case hasB && !hasA:
		return 1, true
	case hasA && hasB:
		*a, *b = (*a)[1:], (*b)[1:]
	}
	return 0, false
}

func is(mark byte) func(byte) bool { return func(c byte) bool { return c == mark } }

func leadingIs(text string, belongs func(byte) bool) bool { return text != "" && belongs(text[0]) }

// compareParts compares runs of digits by value, an absent one first.
func compareParts(a, b string, numbers bool) int {
	if numbers {
		if (a == "") != (b == "") {
			return cmp.Compare(len(a), len(b))
		}
		a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
		if order := cmp.Compare(len(a), len(b)); order != 0 {
			return order
		}
	}
	return strings.Compare(a, b)
}

// skipOthers passes over what has no meaning in a version.
func skipOthers(text string) string {
	_, rest := leading(text, func(c byte) bool {
		return !isDigit(c) && !isLetter(c) && !strings.ContainsRune("~-^.", rune(c))
	})
	return rest
}

func leading(text string, belongs func(byte) bool) (part, rest string) {
	end := 0
	for end < len(text) && belongs(text[end]) {
		end++
	}
	return text[:end], text[end:]
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isLetter(c byte) bool { return ('a' <= c && c <= 'z') || ('A' <= c && c <= 'Z') }
