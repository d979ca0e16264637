package compile

// span is a run of ports, both ends included.
type span struct{ from, to uint16 }

// spans are sorted, and neither overlap nor touch: equal sets of ports are equal
// spans.
type spans []span

const lastPort = 65535

var allPorts = spans{{0, lastPort}}

// union is the ports of either.
func (s spans) union(o spans) spans {
	if len(s) == 0 {
		return o
	}
	if len(o) == 0 {
		return s
	}
	merged := make(spans, 0, len(s)+len(o))
	for len(s)+len(o) > 0 {
		var next span
		if len(o) == 0 || len(s) > 0 && s[0].from <= o[0].from {
			next, s = s[0], s[1:]
		} else {
			next, o = o[0], o[1:]
		}
		if n := len(merged); n > 0 && int(next.from) <= int(merged[n-1].to)+1 {
			merged[n-1].to = max(merged[n-1].to, next.to)
		} else {
			merged = append(merged, next)
		}
	}
	return merged
}

// intersect is the ports of both.
func (s spans) intersect(o spans) spans {
	var common spans
	for len(s) > 0 && len(o) > 0 {
		from, to := max(s[0].from, o[0].from), min(s[0].to, o[0].to)
		if from <= to {
			common = append(common, span{from, to})
		}
		if s[0].to < o[0].to {
			s = s[1:]
		} else {
			o = o[1:]
		}
	}
	return common
}

// minus is the ports of s that are not in o.
func (s spans) minus(o spans) spans { return s.intersect(o.complement()) }

// complement is all other ports.
func (s spans) complement() spans {
	var rest spans
	next := 0
	for _, p := range s {
		if int(p.from) > next {
			rest = append(rest, span{uint16(next), p.from - 1})
		}
		next = int(p.to) + 1
	}
	if next <= lastPort {
		rest = append(rest, span{uint16(next), lastPort})
	}
	return rest
}
