package document

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// MaxAliased is how many values the aliases of one document may stand for.
const MaxAliased = 1_000_000

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
		// Flow style YAML begins with a brace too.
		if nodes, yamlProblems := parseYAML(data); len(yamlProblems) == 0 {
			return nodes, nil
		}
		return nodes, append(problems, *syntax)
	}
	return parseYAML(data)
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
	return ""
}

func parseYAML(data []byte) ([]*Node, []Problem) {
	var nodes []*Node
	var problems []Problem
	for _, c := range split(data) {
		found, wrong := c.parse()
		nodes = append(nodes, found...)
		problems = append(problems, wrong...)
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

// The parser has no typed errors; the line is only to be had from the text.
var yamlError = regexp.MustCompile(`^yaml: (?:line (\d+): )?((?s).*)$`)

func (c chunk) syntaxProblem(err error) Problem {
	line, message := 1, err.Error()
	if m := yamlError.FindStringSubmatch(message); m != nil {
		message = m[2]
		if n, err := strconv.Atoi(m[1]); err == nil {
			line = n
		}
	}
	message = "broken YAML: " + message
	if bytes.Contains(c.text, []byte("{{")) {
		message += ": if this is a template, render it first"
	}
	return Problem{Line: c.line - 1 + line, Message: message}
}

func tooDeep(line int) Problem {
	return Problem{Line: line, Message: fmt.Sprintf("nests deeper than %d levels", maxDepth)}
}
