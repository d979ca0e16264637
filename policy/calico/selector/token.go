package selector

import (
	"fmt"
	"strings"
)

// kind is a kind of token.
type kind string

const (
	end    kind = "the end"
	word   kind = "a label"
	text   kind = "a value"
	symbol kind = "a symbol" // brackets, operators; its text says which
	call   kind = "a function"
)

// token is a piece of the text.
type token struct {
	kind  kind
	text  string // of has(…), the label
	start int    // bytes before it
}

func (t token) String() string {
	switch t.kind {
	case end:
		return string(end)
	case text:
		return quote(t.text)
	case call:
		if t.text != "all()" && t.text != "global()" {
			return "has(" + t.text + ")"
		}
	}
	return t.text
}

// scanner cuts a selector's text into tokens.
type scanner struct {
	text string
	at   int
	last kind // of the token before
}

func (s *scanner) rest() string { return s.text[s.at:] }

// blank is what may stand between tokens; a line break may not.
func (s *scanner) skipBlank() {
	s.at = len(s.text) - len(strings.TrimLeft(s.rest(), " \t"))
}

func (s *scanner) next() (token, error) {
	s.skipBlank()
	t, err := s.scan()
	s.last = t.kind
	return t, err
}

func (s *scanner) scan() (token, error) {
	start := s.at
	rest := s.rest()
	if rest == "" {
		return token{kind: end, start: start}, nil
	}
	if q := rest[0]; q == '"' || q == '\'' {
		close := strings.IndexByte(rest[1:], q)
		if close < 0 {
			return token{}, s.fail(start, "the quote is not closed")
		}
		s.at += close + 2
		return token{text, rest[1 : close+1], start}, nil
	}
	for _, sign := range []string{"(", ")", "{", "}", ",", "==", "!=", "!", "&&", "||"} {
		if strings.HasPrefix(rest, sign) {
			s.at += len(sign)
			return token{symbol, sign, start}, nil
		}
	}
	if s.last == word {
		return s.operator()
	}
	return s.name()
}

// operator is a comparison in words; it need not be followed by a blank.
func (s *scanner) operator() (token, error) {
	start := s.at
	for _, words := range []struct{ first, second string }{
		{"contains", ""}, {"starts", "with"}, {"ends", "with"}, {"not", "in"}, {"in", ""},
	} {
		if !strings.HasPrefix(s.rest(), words.first) {
			continue
		}
		s.at += len(words.first)
		if words.second == "" {
			return token{symbol, words.first, start}, nil
		}
		s.skipBlank()
		if strings.HasPrefix(s.rest(), words.second) {
			s.at += len(words.second)
			return token{symbol, words.first + " " + words.second, start}, nil
		}
		break
	}
	return token{}, s.fail(start, "a label must be followed by ==, !=, in, not in, contains, starts with or ends with")
}

// name is a function, or a label; labels may be called like functions.
func (s *scanner) name() (token, error) {
	start := s.at
	rest := s.rest()
	for _, name := range []string{"all", "global"} {
		if strings.HasPrefix(rest, name+"(") {
			s.at += len(name) + 1
			return token{call, name + "()", start}, s.closing(name)
		}
	}
	if strings.HasPrefix(rest, "has(") {
		s.at += len("has(")
		s.skipBlank()
		label := s.label()
		if label == "" {
			return token{}, s.fail(s.at, "has( must be followed by a label")
		}
		return token{call, label, start}, s.closing("has")
	}
	if label := s.label(); label != "" {
		return token{word, label, start}, nil
	}
	return token{}, s.fail(start, "unexpected %q", rest[:1])
}

func (s *scanner) closing(function string) error {
	s.skipBlank()
	if !strings.HasPrefix(s.rest(), ")") {
		return s.fail(s.at, "%s( is not closed", function)
	}
	s.at++
	return nil
}

// label takes the characters that a label's key may have here.
func (s *scanner) label() string {
	rest := s.rest()
	length := strings.IndexFunc(rest, func(c rune) bool {
		return !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.ContainsRune("_./-", c))
	})
	if length < 0 {
		length = len(rest)
	}
	s.at += length
	return rest[:length]
}

func (s *scanner) fail(at int, format string, args ...any) error {
	return fmt.Errorf("parse selector %q: at character %d: %s", shorten(s.text), len([]rune(s.text[:at]))+1, fmt.Sprintf(format, args...))
}

// shorten keeps a text that somebody made huge out of the message.
func shorten(s string) string {
	const most = 200
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}
