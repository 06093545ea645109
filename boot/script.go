package boot

import (
	"strings"

	"funlab.casa/attestation_exporter/failure"
)

// A statement of GRUB's shell-like language (GRUB Manual, "Writing GRUB
// configuration files directly"). Which fields are set tells what it is.
type statement struct {
	words    []word      // a command; of a for loop, the variable and the items
	block    []statement // what is in braces behind the words, or between do and done
	branches []branch    // an if
	loop     bool        // a for; a while or an until has no words
}

// A branch runs when its condition holds. The last may have none.
type branch struct {
	condition []statement
	then      []statement
}

// A word is expanded when its command runs.
type word []segment

type segment struct {
	text     string
	variable bool // text is a variable's name
	quoted   bool
}

// literal returns a word that needs no expansion and isn't quoted, such as a
// keyword.
func (w word) literal() string {
	if len(w) == 1 && !w[0].variable && !w[0].quoted {
		return w[0].text
	}
	return ""
}

const (
	maxScript     = 1 << 20
	maxScriptNest = 32
)

// parseScript reads a whole file.
func parseScript(text string) ([]statement, error) {
	p := &scriptParser{lexer: scriptLexer{rest: text}}
	p.next()
	statements := p.list()
	if p.err == nil && p.token != nil {
		p.fail("unexpected " + p.token.literal())
	}
	return statements, p.err
}

type scriptParser struct {
	lexer scriptLexer
	token word // nil at the end; one empty segment for the end of a command
	depth int
	err   error
}

func (p *scriptParser) next() {
	if p.err == nil {
		p.token, p.err = p.lexer.next()
	}
	if p.err != nil {
		p.token = nil
	}
}

func (p *scriptParser) fail(what string) {
	if p.err == nil {
		p.err = failure.Errorf(failure.Malformed, "GRUB script: %s", what)
	}
	p.token = nil
}

func (p *scriptParser) isEnd() bool { return p.token != nil && len(p.token) == 0 }

// expect passes over a keyword.
func (p *scriptParser) expect(keyword string) {
	for p.isEnd() {
		p.next()
	}
	if p.token == nil || p.token.literal() != keyword {
		p.fail("no " + keyword)
		return
	}
	p.next()
}

// list reads statements up to a keyword that ends a list, or the end of the text.
func (p *scriptParser) list() []statement {
	if p.depth++; p.depth > maxScriptNest {
		p.fail("nested too deep")
	}
	defer func() { p.depth-- }()
	var statements []statement
	for p.token != nil {
		if p.isEnd() {
			p.next()
			continue
		}
		switch p.token.literal() {
		case "then", "elif", "else", "fi", "do", "done", "}":
			return statements
		}
		statements = append(statements, p.statement())
	}
	return statements
}

func (p *scriptParser) statement() statement {
	switch p.token.literal() {
	case "if":
		return p.conditional()
	case "for":
		p.next()
		return statement{loop: true, words: p.words(), block: p.loopBody()}
	case "while", "until":
		p.next()
		p.list()
		return statement{loop: true, block: p.loopBody()}
	}
	s := statement{words: p.words()}
	if p.token != nil && p.token.literal() == "{" {
		p.next()
		s.block = p.list()
		p.expect("}")
	}
	return s
}

func (p *scriptParser) loopBody() []statement {
	p.expect("do")
	body := p.list()
	p.expect("done")
	return body
}

func (p *scriptParser) conditional() statement {
	var s statement
	for p.token != nil {
		p.next() // if or elif
		condition := p.list()
		p.expect("then")
		s.branches = append(s.branches, branch{condition, p.list()})
		if p.token == nil || p.token.literal() != "elif" {
			break
		}
	}
	if p.token != nil && p.token.literal() == "else" {
		p.next()
		s.branches = append(s.branches, branch{nil, p.list()})
	}
	p.expect("fi")
	return s
}

// words reads up to the end of a command, or the brace that opens its block.
func (p *scriptParser) words() []word {
	var words []word
	for p.token != nil && !p.isEnd() && p.token.literal() != "{" && p.token.literal() != "}" {
		words = append(words, p.token)
		p.next()
	}
	return words
}

type scriptLexer struct{ rest string }

// next returns the next word, an empty one for the end of a command, or nil at the
// end of the text.
func (l *scriptLexer) next() (word, error) {
	l.skipBlanks()
	if l.rest == "" {
		return nil, nil
	}
	if strings.ContainsRune("\n;", rune(l.rest[0])) {
		l.rest = l.rest[1:]
		return word{}, nil
	}
	w := word{}
	for l.rest != "" && !strings.ContainsRune(" \t\r\n;", rune(l.rest[0])) {
		segments, err := l.segment()
		if err != nil {
			return nil, err
		}
		w = append(w, segments...)
	}
	return w, nil
}

func (l *scriptLexer) skipBlanks() {
	for l.rest != "" {
		switch {
		case strings.HasPrefix(l.rest, "\\\n"):
			l.rest = l.rest[2:]
		case strings.ContainsRune(" \t\r", rune(l.rest[0])):
			l.rest = l.rest[1:]
		case l.rest[0] == '#':
			_, after, _ := strings.Cut(l.rest, "\n")
			l.rest = "\n" + after
			return
		default:
			return
		}
	}
}

// segment reads a part of a word that is quoted in one way.
func (l *scriptLexer) segment() ([]segment, error) {
	switch {
	case l.rest[0] == '\'':
		text, after, found := strings.Cut(l.rest[1:], "'")
		if !found {
			return nil, failure.Errorf(failure.Malformed, "GRUB script: a quote isn't closed")
		}
		l.rest = after
		return []segment{{text: text, quoted: true}}, nil
	case l.rest[0] == '"':
		l.rest = l.rest[1:]
		return l.doubleQuoted()
	case strings.HasPrefix(l.rest, `$"`), strings.HasPrefix(l.rest, `$'`): // translated where there is a translation
		l.rest = l.rest[1:]
		return l.segment()
	case l.rest[0] == '$':
		return []segment{l.variable(false)}, nil
	case l.rest[0] == '\\' && len(l.rest) > 1:
		text := l.rest[1:2]
		l.rest = l.rest[2:]
		return []segment{{text: text, quoted: true}}, nil
	}
	end := strings.IndexAny(l.rest[1:], " \t\r\n;'\"$\\")
	if end < 0 {
		end = len(l.rest) - 1
	}
	text := l.rest[:end+1]
	l.rest = l.rest[end+1:]
	return []segment{{text: text}}, nil
}

func (l *scriptLexer) doubleQuoted() ([]segment, error) {
	segments := []segment{{quoted: true}} // so that "" is a word
	var text strings.Builder
	flush := func() {
		segments = append(segments, segment{text: text.String(), quoted: true})
		text.Reset()
	}
	for l.rest != "" {
		switch c := l.rest[0]; {
		case c == '"':
			l.rest = l.rest[1:]
			flush()
			return segments, nil
		case c == '\\' && len(l.rest) > 1 && strings.ContainsRune("$\"\\\n", rune(l.rest[1])):
			if l.rest[1] != '\n' {
				text.WriteByte(l.rest[1])
			}
			l.rest = l.rest[2:]
		case c == '$':
			flush()
			segments = append(segments, l.variable(true))
		default:
			text.WriteByte(c)
			l.rest = l.rest[1:]
		}
	}
	return nil, failure.Errorf(failure.Malformed, "GRUB script: a quote isn't closed")
}

// variable reads $name or ${name}. A lone $ is itself.
func (l *scriptLexer) variable(quoted bool) segment {
	rest := l.rest[1:]
	if name, after, found := strings.Cut(rest, "}"); found && strings.HasPrefix(name, "{") {
		l.rest = after
		return segment{text: name[1:], variable: true, quoted: quoted}
	}
	end := 0
	for end < len(rest) && isNameByte(rest[end]) {
		end++
	}
	if end == 0 && rest != "" && strings.ContainsRune("?#*@", rune(rest[0])) {
		end = 1
	}
	l.rest = rest[end:]
	if end == 0 {
		return segment{text: "$", quoted: true}
	}
	return segment{text: rest[:end], variable: true, quoted: quoted}
}

func isNameByte(c byte) bool {
	return c == '_' || ('0' <= c && c <= '9') || ('a' <= c && c <= 'z') || ('A' <= c && c <= 'Z')
}
