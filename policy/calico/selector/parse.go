package selector

// deepest is how far brackets may be nested; people do not come near.
const deepest = 100

// Parse reads a selector. Its error says where the text goes wrong.
func Parse(text string) (*Selector, error) {
	p := &parser{scanner: scanner{text: text}}
	if err := p.advance(); err != nil {
		return nil, err
	}
	if p.token.kind == end {
		return All(), nil
	}
	root, err := p.any(0)
	if err != nil {
		return nil, err
	}
	if p.token.kind != end {
		return nil, p.unexpected("&& or ||")
	}
	return newSelector(root), nil
}

// parser looks one token ahead.
type parser struct {
	scanner
	token token
}

func (p *parser) advance() error {
	t, err := p.next()
	p.token = t
	return err
}

func (p *parser) at(sign string) bool { return p.token.kind == symbol && p.token.text == sign }

func (p *parser) unexpected(wanted string) error {
	return p.fail(p.token.start, "expected %s, found %s", wanted, p.token)
}

// any is one or more conjunctions with || between them.
func (p *parser) any(depth int) (node, error) {
	return p.series("||", false, func() (node, error) {
		return p.series("&&", true, func() (node, error) { return p.operation(depth) })
	})
}

func (p *parser) series(sign string, all bool, part func() (node, error)) (node, error) {
	var nodes []node
	for {
		n, err := part()
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, n)
		if !p.at(sign) {
			return join(nodes, all), nil
		}
		if err := p.advance(); err != nil {
			return nil, err
		}
	}
}

// operation is a comparison, a function or an expression in brackets, with any
// number of ! before it.
func (p *parser) operation(depth int) (node, error) {
	negated := false
	for p.at("!") {
		negated = !negated
		if err := p.advance(); err != nil {
			return nil, err
		}
	}
	n, err := p.operand(depth)
	if err == nil && negated {
		n = negate(n)
	}
	return n, err
}

func (p *parser) operand(depth int) (node, error) {
	t := p.token
	switch {
	case t.kind == call && t.text == "all()":
		return allNode{}, p.advance()
	case t.kind == call && t.text == "global()":
		return globalNode{}, p.advance()
	case t.kind == call:
		return newCompare(t.text, has), p.advance()
	case t.kind == word:
		return p.comparison(t.text)
	case p.at("(") && depth == deepest:
		return nil, p.fail(t.start, "brackets are nested too deeply")
	case p.at("("):
		return p.brackets(depth)
	}
	return nil, p.unexpected("a label, has(label), all() or (")
}

func (p *parser) brackets(depth int) (node, error) {
	if err := p.advance(); err != nil {
		return nil, err
	}
	n, err := p.any(depth + 1)
	if err != nil {
		return nil, err
	}
	if !p.at(")") {
		return nil, p.unexpected(")")
	}
	return n, p.advance()
}

func (p *parser) comparison(key string) (node, error) {
	if err := p.advance(); err != nil {
		return nil, err
	}
	sign := p.token.text
	if p.token.kind != symbol {
		return nil, p.unexpected("a comparison")
	}
	if err := p.advance(); err != nil {
		return nil, err
	}
	switch sign {
	case "in", "not in":
		values, err := p.set()
		if sign == "in" || err != nil {
			return newCompare(key, in, values...), err
		}
		return negate(newCompare(key, in, values...)), nil
	case "==":
		return p.single(key, in)
	case "!=":
		n, err := p.single(key, in)
		return negate(n), err
	case string(contains), string(startsWith), string(endsWith):
		return p.single(key, operator(sign))
	}
	return nil, p.fail(p.token.start, "expected a comparison, found %s", sign)
}

func (p *parser) single(key string, op operator) (node, error) {
	if p.token.kind != text {
		return nil, p.unexpected("a value in quotes")
	}
	return newCompare(key, op, p.token.text), p.advance()
}

// set is values in braces; it may be empty, and may end with a comma.
func (p *parser) set() ([]string, error) {
	if !p.at("{") {
		return nil, p.unexpected("values in braces")
	}
	if err := p.advance(); err != nil {
		return nil, err
	}
	var values []string
	for p.token.kind == text {
		values = append(values, p.token.text)
		if err := p.advance(); err != nil {
			return nil, err
		}
		if !p.at(",") {
			break
		}
		if err := p.advance(); err != nil {
			return nil, err
		}
	}
	if !p.at("}") {
		return nil, p.unexpected("a value in quotes or }")
	}
	return values, p.advance()
}
