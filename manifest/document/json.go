package document

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// parseJSON reads one JSON value after the other. The last result is the syntax
// error that ended the reading.
func parseJSON(data []byte) ([]*Node, []Problem, *Problem) {
	p := &jsonParser{data: data, line: 1, decoder: json.NewDecoder(bytes.NewReader(data))}
	p.decoder.UseNumber()
	var nodes []*Node
	for {
		token, err := p.token()
		if errors.Is(err, io.EOF) {
			return nodes, p.problems, nil
		}
		var node *Node
		if err == nil {
			node, err = p.value(token, 0)
		}
		if err != nil {
			return nodes, p.problems, p.syntaxProblem(err)
		}
		nodes = append(nodes, node)
	}
}

type jsonParser struct {
	data     []byte
	decoder  *json.Decoder
	offset   int64 // how far lines are counted
	line     int   // at offset
	problems []Problem
}

var errTooDeep = errors.New("too deep")

func (p *jsonParser) syntaxProblem(err error) *Problem {
	if errors.Is(err, errTooDeep) {
		problem := tooDeep(p.line)
		return &problem
	}
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) && syntax.Offset > p.offset {
		p.count(syntax.Offset)
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return &Problem{Line: p.line, Message: "broken JSON: " + err.Error()}
}

func (p *jsonParser) count(offset int64) {
	offset = min(offset, int64(len(p.data)))
	p.line += bytes.Count(p.data[p.offset:offset], []byte("\n"))
	p.offset = offset
}

// token reads the next token; p.line is then the line where it ends, which for
// every token is the one where it began.
func (p *jsonParser) token() (json.Token, error) {
	token, err := p.decoder.Token()
	if err == nil {
		p.count(p.decoder.InputOffset())
	}
	return token, err
}

func (p *jsonParser) value(token json.Token, depth int) (*Node, error) {
	node := &Node{Line: p.line, nodes: 1}
	if depth > maxDepth {
		return nil, errTooDeep
	}
	switch v := token.(type) {
	case json.Delim:
		if v == '{' {
			return node, p.fields(node, depth)
		}
		return node, p.items(node, depth)
	case string:
		node.Kind, node.Value = String, v
	case json.Number:
		node.Kind, node.Value = Number, v.String()
	case bool:
		node.Kind, node.Value = Bool, fmt.Sprint(v)
	}
	return node, nil
}

func (p *jsonParser) fields(node *Node, depth int) error {
	node.Kind = Map
	seen := &names{}
	for p.decoder.More() {
		token, err := p.token()
		if err != nil {
			return err
		}
		field := &Field{Name: token.(string), Line: p.line}
		if token, err = p.token(); err != nil {
			return err
		}
		if field.Value, err = p.value(token, depth+1); err != nil {
			return err
		}
		if first := seen.add(field); first != nil {
			message := fmt.Sprintf("key %q is given twice, first in line %d: remove one", field.Name, first.Line)
			p.problems = append(p.problems, Problem{Line: field.Line, Message: message})
			continue
		}
		node.Fields = append(node.Fields, field)
		node.grow(field.Value)
	}
	_, err := p.token()
	return err
}

func (p *jsonParser) items(node *Node, depth int) error {
	node.Kind = List
	for p.decoder.More() {
		token, err := p.token()
		if err != nil {
			return err
		}
		item, err := p.value(token, depth+1)
		if err != nil {
			return err
		}
		node.Items = append(node.Items, item)
		node.grow(item)
	}
	_, err := p.token()
	return err
}
