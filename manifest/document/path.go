package document

import (
	"strconv"
	"strings"
)

// LineOf is the line of what an API path names: of the name for a field, of the
// value for a list's item. Where the path leads nowhere, because a field is
// missing, it is the line of the last part that exists.
func (n *Node) LineOf(path string) int {
	line := n.Line
	for path != "" {
		var name string
		name, path = nextStep(path)
		var found int
		n, found = n.step(name)
		if n == nil {
			return line
		}
		line = found
	}
	return line
}

// At is the node that an API path names, nil if it leads nowhere.
func (n *Node) At(path string) *Node {
	for path != "" && n != nil {
		var name string
		name, path = nextStep(path)
		n, _ = n.step(name)
	}
	return n
}

// nextStep cuts the first step off a path; an index or key keeps its opening
// bracket.
func nextStep(path string) (step, rest string) {
	if strings.HasPrefix(path, "[") {
		step, rest, _ = strings.Cut(path, "]")
		return step, strings.TrimPrefix(rest, ".")
	}
	end := strings.IndexAny(path, ".[")
	if end < 0 {
		return path, ""
	}
	return path[:end], strings.TrimPrefix(path[end:], ".")
}

func (n *Node) step(name string) (*Node, int) {
	if key, ok := strings.CutPrefix(name, "["); ok {
		if n.Kind == List {
			return n.item(key)
		}
		name = key
	}
	for _, f := range n.Fields {
		if f.Name == name {
			return f.Value, f.Line
		}
	}
	return nil, 0
}

func (n *Node) item(index string) (*Node, int) {
	i, err := strconv.Atoi(index)
	if err != nil || i < 0 || i >= len(n.Items) {
		return nil, 0
	}
	return n.Items[i], n.Items[i].Line
}
