package document

// names finds fields given twice in a map. Few fields are compared one by one,
// which is faster than hashing and enough for nearly all objects.
type names struct {
	few  []*Field
	many map[string]*Field
}

const fewNames = 16

// add returns the earlier field of the same name, if there is one.
func (n *names) add(f *Field) *Field {
	if n.many != nil {
		first, ok := n.many[f.Name]
		if !ok {
			n.many[f.Name] = f
		}
		return first
	}
	for _, first := range n.few {
		if first.Name == f.Name {
			return first
		}
	}
	if n.few = append(n.few, f); len(n.few) > fewNames {
		n.many = make(map[string]*Field, 2*len(n.few))
		for _, known := range n.few {
			n.many[known.Name] = known
		}
	}
	return nil
}
