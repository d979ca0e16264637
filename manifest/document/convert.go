package document

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// maxDepth is far beyond any API object; it bounds the stack.
const maxDepth = 500

// converter turns one parsed YAML document into a Node.
type converter struct {
	offset   int // of the document's lines in the file
	anchors  map[*yaml.Node]*Node
	merged   int // fields copied for merge keys
	problems []Problem
}

func convert(root *yaml.Node, offset int) (*Node, []Problem) {
	c := &converter{offset: offset, anchors: map[*yaml.Node]*Node{}}
	node := c.node(root, 0)
	if own := count(root); node.nodes > own+MaxAliased {
		c.problem(root, "its aliases stand for more than %d values: write out what is needed", MaxAliased)
	} else if node.depth > maxDepth && len(c.problems) == 0 {
		c.problems = append(c.problems, tooDeep(node.Line)) // through aliases
	}
	return node, c.problems
}

func (c *converter) problem(n *yaml.Node, format string, args ...any) {
	c.problems = append(c.problems, Problem{Line: c.offset + n.Line, Message: fmt.Sprintf(format, args...)})
}

// count is the document's own size, each alias being one.
func count(n *yaml.Node) int {
	total := 1
	for _, child := range n.Content {
		total += count(child)
	}
	return total
}

func (c *converter) node(n *yaml.Node, depth int) *Node {
	node := &Node{Line: c.offset + n.Line, nodes: 1}
	if depth > maxDepth {
		c.problems = append(c.problems, tooDeep(node.Line))
		return node
	}
	switch n.Kind {
	case yaml.DocumentNode:
		if len(n.Content) == 1 {
			return c.node(n.Content[0], depth)
		}
	case yaml.AliasNode:
		return c.alias(n)
	case yaml.MappingNode:
		node.Kind = Map
		c.anchor(n, nil)
		c.fields(node, n, depth)
	case yaml.SequenceNode:
		node.Kind = List
		c.anchor(n, nil)
		for _, child := range n.Content {
			item := c.node(child, depth+1)
			node.Items = append(node.Items, item)
			node.grow(item)
		}
	case yaml.ScalarNode:
		c.scalar(node, n)
	}
	c.anchor(n, node)
	return node
}

// grow adds a child's size, saturating.
func (n *Node) grow(child *Node) {
	n.depth = max(n.depth, child.depth+1)
	if n.nodes > math.MaxInt-child.nodes {
		n.nodes = math.MaxInt
		return
	}
	n.nodes += child.nodes
}

// anchor notes what an anchored node became; nil while it is being converted.
func (c *converter) anchor(n *yaml.Node, node *Node) {
	if n.Anchor != "" {
		c.anchors[n] = node
	}
}

func (c *converter) alias(n *yaml.Node) *Node {
	if node := c.anchors[n.Alias]; node != nil {
		return node
	}
	c.problem(n, "anchor %q contains itself", n.Value)
	return &Node{Line: c.offset + n.Line, nodes: 1}
}

func (c *converter) fields(node *Node, n *yaml.Node, depth int) {
	seen := &names{}
	var merges []*Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], c.node(n.Content[i+1], depth+1)
		if key.Kind == yaml.ScalarNode && key.ShortTag() == "!!merge" {
			merges = append(merges, c.mergeSources(key, value)...)
			continue
		}
		name, ok := c.key(key)
		if !ok {
			continue
		}
		field := &Field{Name: name, Line: c.offset + key.Line, Value: value}
		if first := seen.add(field); first != nil {
			c.problem(key, "key %q is given twice, first in line %d: remove one", name, first.Line)
			continue
		}
		node.Fields = append(node.Fields, field)
		node.grow(value)
	}
	for _, source := range merges {
		c.merge(node, source, seen)
	}
}

// mergeSources are the maps that a "<<" key names.
func (c *converter) mergeSources(key *yaml.Node, value *Node) []*Node {
	sources := []*Node{value}
	if value.Kind == List {
		sources = value.Items
	}
	for _, s := range sources {
		if s.Kind != Map {
			c.problem(key, "a merge key takes a map or a list of maps, not %s", s)
			return nil
		}
	}
	return sources
}

// merge copies the fields that the map does not have itself.
func (c *converter) merge(node, source *Node, seen *names) {
	for _, f := range source.Fields {
		if c.merged++; c.merged > MaxAliased {
			node.nodes = math.MaxInt // over the limit
			return
		}
		if seen.add(f) == nil {
			node.Fields = append(node.Fields, f)
		}
		node.grow(f.Value)
	}
}

// key is the name of a map's field. Numbers and booleans become strings, as in
// kubectl.
func (c *converter) key(n *yaml.Node) (string, bool) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	var node Node
	if n.Kind == yaml.ScalarNode {
		c.scalar(&node, n)
	} else {
		node.Kind = Map
	}
	switch node.Kind {
	case Bool, Number, String:
		return node.Value, true
	}
	template := ""
	if n.Kind == yaml.MappingNode && n.Style&yaml.FlowStyle != 0 {
		template = ": if the double braces are a template's, render it first"
	}
	c.problem(n, "a key must be a string, not %s%s", &node, template)
	return "", false
}

// yaml11Booleans are booleans to kubectl and the API server, though not to YAML
// 1.2.
var yaml11Booleans = map[string]string{
	"y": "true", "Y": "true", "yes": "true", "Yes": "true", "YES": "true", "on": "true", "On": "true", "ON": "true",
	"n": "false", "N": "false", "no": "false", "No": "false", "NO": "false", "off": "false", "Off": "false", "OFF": "false",
}

func (c *converter) scalar(node *Node, n *yaml.Node) {
	node.Kind, node.Value = String, n.Value
	switch n.ShortTag() {
	case "!!str":
		if value, ok := yaml11Booleans[n.Value]; ok && n.Style == 0 {
			node.Kind, node.Value, node.Text = Bool, value, n.Value
		}
	case "!!null":
		node.Kind, node.Value = Null, ""
	case "!!bool":
		node.Kind = Bool
		c.resolve(node, n)
	case "!!int", "!!float":
		node.Kind = Number
		c.resolve(node, n)
	case "!!binary":
		decoded, err := base64.StdEncoding.DecodeString(n.Value)
		if err == nil && !utf8.Valid(decoded) {
			err = errors.New("not UTF-8 text")
		}
		if err != nil {
			c.problem(n, "decode !!binary value: %v", err)
		}
		node.Value = string(decoded)
	}
}

// resolve brings a number or boolean into JSON's form.
func (c *converter) resolve(node *Node, n *yaml.Node) {
	if node.Kind == Number && isPlainInteger(n.Value) {
		return
	}
	var value any
	if err := n.Decode(&value); err != nil {
		_, message := splitError(err)
		c.problem(n, "%s", message)
		return
	}
	node.Text = n.Value
	switch v := value.(type) {
	case bool:
		node.Value = strconv.FormatBool(v)
	case float64:
		node.Value = formatFloat(v)
	default:
		node.Value = fmt.Sprint(v)
	}
}

// formatFloat is JSON's form of a number, and the API's in map keys.
func formatFloat(v float64) string {
	if v == math.Trunc(v) && math.Abs(v) < 1e15 {
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}

// isPlainInteger tells whether the text is a number in JSON already.
func isPlainInteger(s string) bool {
	if s == "" || len(s) > 18 || s[0] == '0' && len(s) > 1 {
		return false
	}
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}
