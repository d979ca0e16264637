package document

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	yamlv2 "go.yaml.in/yaml/v2"
	"go.yaml.in/yaml/v3"
)

// The limits of one text, far beyond what people and clusters write. They bound
// the memory and time that a small text can cost.
const (
	// MaxValues is how many values there may be, counted by what separates
	// them: line ends, commas and brackets.
	MaxValues = 2_000_000
	// MaxAliased is how many values the aliases of one document may stand for.
	MaxAliased = 1_000_000
	// MaxProblems is after how many problems the rest is not looked at.
	MaxProblems = 1000
)

// Parse reads all documents of a text, YAML or JSON. Documents without content
// are left out. A document that cannot be read is a Problem and does not keep
// the others from being read.
func Parse(data []byte) ([]*Node, []Problem) {
	if problem := checkText(data); problem != "" {
		return nil, []Problem{{Line: 1, Message: problem}}
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if trimmed := bytes.TrimLeft(data, " \t\r\n"); len(trimmed) > 0 && trimmed[0] == '{' {
		nodes, problems, syntax := parseJSON(data)
		if syntax == nil {
			return nodes, problems
		}
		// YAML's flow style begins with a brace too.
		yamlNodes, yamlProblems := parseYAML(data)
		if len(yamlProblems) == 0 || !looksLikeJSON(trimmed) {
			return yamlNodes, yamlProblems
		}
		return nodes, append(problems, *syntax)
	}
	return parseYAML(data)
}

// looksLikeJSON: a name behind the brace has quotes.
func looksLikeJSON(data []byte) bool {
	data = bytes.TrimLeft(data[1:], " \t\r\n")
	return len(data) == 0 || data[0] == '"'
}

func checkText(data []byte) string {
	if bytes.HasPrefix(data, []byte{0xff, 0xfe}) || bytes.HasPrefix(data, []byte{0xfe, 0xff}) {
		return "is UTF-16 text: save it as UTF-8"
	}
	if bytes.IndexByte(data, 0) >= 0 {
		return "is a binary file, not YAML or JSON text"
	}
	if !utf8.Valid(data) {
		return "is not UTF-8 text: it is a binary file or in another encoding"
	}
	if countValues(data) > MaxValues {
		return fmt.Sprintf("has more than %d values: split it", MaxValues)
	}
	return ""
}

func countValues(data []byte) int {
	n := 0
	for _, separator := range []string{"\n", ",", "[", "{"} {
		n += bytes.Count(data, []byte(separator))
	}
	return n
}

func parseYAML(data []byte) ([]*Node, []Problem) {
	var nodes []*Node
	var problems []Problem
	for _, c := range split(data) {
		if c.isEmpty() {
			continue
		}
		found, wrong := c.parse()
		nodes = append(nodes, found...)
		problems = append(problems, wrong...)
		if len(problems) >= MaxProblems {
			const more = "too many problems, what follows was not read"
			return nodes, append(problems[:MaxProblems], Problem{Line: problems[MaxProblems-1].Line, Message: more})
		}
	}
	return nodes, problems
}

// parse reads the chunk's documents; there are several where "..." ends one.
func (c chunk) parse() ([]*Node, []Problem) {
	var nodes []*Node
	decoder := yaml.NewDecoder(bytes.NewReader(c.text))
	for {
		var root yaml.Node
		err := decoder.Decode(&root)
		if errors.Is(err, io.EOF) {
			return nodes, nil
		}
		if err != nil {
			return nodes, []Problem{c.syntaxProblem(err)}
		}
		node, problems := convert(&root, c.line-1)
		if len(problems) > 0 {
			return nodes, problems
		}
		if node.Kind != Null {
			nodes = append(nodes, node)
		}
	}
}

func (c chunk) syntaxProblem(err error) Problem {
	line, message := splitError(err)
	switch {
	case strings.HasPrefix(message, unexpected):
		line = c.secondOpinion(max(0, line-1), message) + 1
	case strings.HasPrefix(message, "found a tab character"):
		line = c.secondOpinion(line, message)
	}
	message = "broken YAML: " + message
	if bytes.Contains(c.text, []byte("{{")) {
		message += ": if this is a template, render it first"
	}
	last := 1 + bytes.Count(bytes.TrimSuffix(c.text, []byte("\n")), []byte("\n"))
	// The end of the text is in a line of its own for the parser.
	return Problem{Line: c.line - 1 + min(max(1, line), last), Message: message}
}

// The parser has no typed errors; the line is only to be had from the text.
var yamlError = regexp.MustCompile(`^yaml: (?:line (\d+): )?((?s).*)$`)

// splitError gives line zero where the parser gives none, which it does for its
// own line zero.
func splitError(err error) (line int, message string) {
	m := yamlError.FindStringSubmatch(err.Error())
	if m == nil {
		return 0, err.Error()
	}
	line, _ = strconv.Atoi(m[1]) // zero for none
	return line, m[2]
}

// unexpected is how the parser begins its messages of grammar, in contrast to
// those of the words. Their line is one too low.
const unexpected = "did not find expected"

// secondOpinion is where version 2 of the parser sees the same mistake. Version
// 3 gives the place where the map, list or text around it begins, which may be
// far above.
func (c chunk) secondOpinion(line int, message string) int {
	var ignored yamlv2.MapSlice
	err := yamlv2.Unmarshal(c.text, &ignored)
	if err == nil {
		return line
	}
	other, same := splitError(err)
	if same != message {
		return line
	}
	return other
}

func tooDeep(line int) Problem {
	return Problem{Line: line, Message: fmt.Sprintf("nests deeper than %d levels", maxDepth)}
}
