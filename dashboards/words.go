package dashboards

import "strconv"

// The levels that recorded series and queries here give: as bad as the worst alert
// about a thing.
const (
	levelOK = iota
	levelPending
	levelWarning
	levelCritical
)

// levels puts a level into a word. What isn't there is neither good nor bad.
func levels() []mapping {
	return []mapping{
		values(
			word(levelOK, "OK", good), word(levelPending, "WAIT", waiting),
			word(levelWarning, "WARN", bad), word(levelCritical, "CRIT", worst),
		),
		nothing(),
	}
}

// claim puts 1 and 0 into words.
func claim(yes, yesColor, no, noColor string) []mapping {
	return []mapping{values(word(1, yes, yesColor), word(0, no, noColor)), nothing()}
}

type numbered struct {
	number int
	text   mappedText
}

func word(number int, text, c string) numbered {
	return numbered{number, mappedText{Text: text, Color: c}}
}

// values is a mapping of numbers to words, in this order.
func values(words ...numbered) mapping {
	options := map[string]mappedText{}
	for i, w := range words {
		w.text.Index = i
		options[strconv.Itoa(w.number)] = w.text
	}
	return mapping{Type: "value", Options: options}
}

// nothing puts a dash where there is no value.
func nothing() mapping {
	return mapping{Type: "special", Options: specialOptions{Match: "null+nan", Result: mappedText{Text: "—", Color: "transparent", Index: 99}}}
}
