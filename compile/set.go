package compile

import (
	"cmp"
	"encoding/binary"
	"slices"
)

// set is the matchers that a pod satisfies, blocks of addresses apart. Pods with
// the same matchers share one.
type set struct {
	key      string
	matchers []*matcher // by serial
	refs     int        // pods
}

// keyOf is a string that is equal exactly for equal sets of matchers, given in
// the order of their serials.
func keyOf(matchers []*matcher) string {
	key := make([]byte, 0, 4*len(matchers))
	for _, m := range matchers {
		key = binary.BigEndian.AppendUint32(key, m.serial)
	}
	return string(key)
}

func bySerial(a, b *matcher) int { return cmp.Compare(a.serial, b.serial) }

// assign gives a pod its matchers.
func (c *Compiler) assign(p *pod, matchers []*matcher) {
	slices.SortFunc(matchers, bySerial)
	matchers = slices.Compact(matchers)
	old := p.set
	p.set = c.holdSet(matchers)
	c.dropSet(old)
}

func (c *Compiler) holdSet(matchers []*matcher) *set {
	key := keyOf(matchers)
	s, ok := c.sets[key]
	if !ok {
		s = &set{key: key, matchers: slices.Clone(matchers)}
		c.sets[key] = s
	}
	s.refs++
	return s
}

func (c *Compiler) dropSet(s *set) {
	if s == nil {
		return
	}
	if s.refs--; s.refs == 0 {
		delete(c.sets, s.key)
	}
}

// change moves pods to their set with one matcher more, or less. The set that
// comes of each set is worked out once.
func (c *Compiler) change(pods []*pod, m *matcher, gain bool) {
	to := map[*set][]*matcher{}
	for _, p := range pods {
		matchers, ok := to[p.set]
		if !ok {
			matchers = p.set.changed(m, gain)
			to[p.set] = matchers
		}
		old := p.set
		p.set = c.holdSet(matchers)
		c.dropSet(old)
		c.touch(p)
	}
}

func (s *set) changed(m *matcher, gain bool) []*matcher {
	at, has := slices.BinarySearchFunc(s.matchers, m, bySerial)
	switch {
	case gain && !has:
		return slices.Insert(slices.Clone(s.matchers), at, m)
	case !gain && has:
		return slices.Delete(slices.Clone(s.matchers), at, at+1)
	}
	return s.matchers
}
