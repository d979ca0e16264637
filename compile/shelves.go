package compile

import (
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// shelves find the pods that have a label or a named port.
type shelves struct{ byTerm map[term]*shelf }

// shelf is the pods with one term, in no order.
type shelf struct {
	term    term
	entries []entry
}

// entry is a pod on a shelf, and which of its slots says so.
type entry struct {
	pod  *pod
	slot int32
}

// slot is where a pod is to be found on a shelf.
type slot struct {
	shelf *shelf
	at    int32
}

func newShelves() *shelves { return &shelves{byTerm: map[term]*shelf{}} }

// portTerm stands for a named port; no label's key starts like this.
func portTerm(name portName) term {
	return term{"\x00" + name.name, name.protocol.String()}
}

// portName is a container port's name in a protocol.
type portName struct {
	name     string
	protocol traffic.Protocol
}

func (s *shelves) add(p *pod) {
	p.slots = make([]slot, 0, len(p.object.Labels)+len(p.object.Ports))
	for key, value := range p.object.Labels {
		s.put(p, term{key, value})
	}
	for i, port := range p.object.Ports {
		if port.Name != "" && firstOfName(p, i) {
			s.put(p, portTerm(portName{port.Name, port.Protocol}))
		}
	}
}

func firstOfName(p *pod, i int) bool {
	for _, before := range p.object.Ports[:i] {
		if before.Name == p.object.Ports[i].Name && before.Protocol == p.object.Ports[i].Protocol {
			return false
		}
	}
	return true
}

func (s *shelves) put(p *pod, t term) {
	found, ok := s.byTerm[t]
	if !ok {
		found = &shelf{term: t}
		s.byTerm[t] = found
	}
	p.slots = append(p.slots, slot{found, int32(len(found.entries))})
	found.entries = append(found.entries, entry{p, int32(len(p.slots) - 1)})
}

// remove takes the pod off its shelves; the last entry of each takes its place.
func (s *shelves) remove(p *pod) {
	for _, at := range p.slots {
		entries := at.shelf.entries
		last := entries[len(entries)-1]
		entries[at.at] = last
		last.pod.slots[last.slot].at = at.at
		entries[len(entries)-1] = entry{}
		at.shelf.entries = entries[:len(entries)-1]
		if len(at.shelf.entries) == 0 {
			delete(s.byTerm, at.shelf.term)
		}
	}
	p.slots = nil
}

// having are the pods on a shelf.
func (s *shelves) having(t term) []entry {
	if found, ok := s.byTerm[t]; ok {
		return found.entries
	}
	return nil
}
