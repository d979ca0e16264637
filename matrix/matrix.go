package matrix

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"

	"github.com/bulkhead-dev/bulkhead/traffic"
	"github.com/bulkhead-dev/bulkhead/verdict"
)

// Matrix is connections with their verdicts. It prints itself through package
// printer.
type Matrix struct {
	Rows []Row `json:"connections"`
	// Staged are the connections that staged policies would change; nil: nobody
	// asked.
	Staged []Change `json:"staged,omitempty"`
}

// Row is one connection and its verdict.
type Row struct {
	From     string           `json:"from"`
	To       string           `json:"to"`
	Protocol traffic.Protocol `json:"protocol"`
	Port     uint16           `json:"port"`
	// Family is "IPv4" or "IPv6" where the two have different answers; empty:
	// the row is for all that both ends have.
	Family  string          `json:"family,omitempty"`
	Verdict traffic.Verdict `json:"verdict"`
	// Measured is what became of the packets, Agrees whether that is the
	// verdict; nil: none were sent.
	Measured *traffic.Verdict `json:"measured,omitempty"`
	Agrees   *bool            `json:"agrees,omitempty"`
	// Egress and Ingress are what decided; nil: nobody asked.
	Egress  *verdict.Decision `json:"egress,omitempty"`
	Ingress *verdict.Decision `json:"ingress,omitempty"`
}

// New answers the connections by the model. Measured is what packets found, one
// for each connection; nil, the slice or an element of it: none were sent.
func New(model *verdict.Evaluator, connections []verdict.Connection, measured []*traffic.Verdict) *Matrix {
	m := &Matrix{Rows: make([]Row, 0, len(connections))}
	namer := namer{}
	for i, c := range connections {
		row := Row{
			From: namer.name(c.From), To: namer.name(c.To), Protocol: c.Protocol, Port: c.Port,
			Family: family(c), Verdict: model.Verdict(c),
		}
		if measured != nil {
			row.measure(measured[i])
		}
		m.add(row)
	}
	for i := range m.Rows {
		if !m.split(i) {
			m.Rows[i].Family = ""
		}
	}
	return m
}

func (r *Row) measure(found *traffic.Verdict) {
	if found != nil {
		agrees := (*found).Opens() == r.Verdict.Opens()
		r.Measured, r.Agrees = found, &agrees
	}
}

// add drops a row that only repeats the one before it in the other family.
func (m *Matrix) add(row Row) {
	if n := len(m.Rows); n > 0 && m.Rows[n-1].asks(row) && m.Rows[n-1].answers(row) {
		return
	}
	m.Rows = append(m.Rows, row)
}

// split tells whether the row's neighbour is about the other family.
func (m *Matrix) split(i int) bool {
	return i > 0 && m.Rows[i-1].asks(m.Rows[i]) || i+1 < len(m.Rows) && m.Rows[i+1].asks(m.Rows[i])
}

// asks the same, but for the family.
func (r Row) asks(o Row) bool {
	return r.From == o.From && r.To == o.To && r.Protocol == o.Protocol && r.Port == o.Port
}

func (r Row) answers(o Row) bool {
	if r.Measured == nil || o.Measured == nil {
		return r.Verdict == o.Verdict && r.Measured == o.Measured
	}
	return r.Verdict == o.Verdict && *r.Measured == *o.Measured
}

func family(c verdict.Connection) string {
	if c.To.Addr.Is4() {
		return "IPv4"
	}
	return "IPv6"
}

// namer keeps endpoints' names, of which a large matrix has few and uses each
// very often.
type namer map[verdict.Endpoint]string

func (n namer) name(e verdict.Endpoint) string {
	name, ok := n[e]
	if !ok {
		name = e.String()
		n[e] = name
	}
	return name
}

// Tally counts a matrix's rows.
type Tally struct {
	Allowed, Denied     int // by the model
	Inspected           int // by the model: it depends on the content
	Measured, Disagreed int
}

// Tally counts the rows.
func (m *Matrix) Tally() Tally {
	var t Tally
	for _, r := range m.Rows {
		switch {
		case r.Verdict == traffic.Allow:
			t.Allowed++
		case r.Verdict.Inspects():
			t.Inspected++
		default:
			t.Denied++
		}
		if r.Measured != nil {
			t.Measured++
			if !*r.Agrees {
				t.Disagreed++
			}
		}
	}
	return t
}

// String is "12 allowed, 30 denied", and what packets said of it.
func (t Tally) String() string {
	s := fmt.Sprintf("%d allowed, %d denied", t.Allowed, t.Denied)
	if t.Inspected > 0 {
		s += fmt.Sprintf(", %d by their content", t.Inspected)
	}
	all := t.Allowed + t.Denied + t.Inspected
	switch {
	case t.Measured == 0:
		return s
	case t.Disagreed > 0:
		s += fmt.Sprintf("; packets disagree with %d of %d", t.Disagreed, t.Measured)
	case t.Measured < all:
		s += fmt.Sprintf("; packets agree with all %d that were sent", t.Measured)
	default:
		s += "; packets agree with all"
	}
	if t.Measured < all {
		s += fmt.Sprintf(", %d not sent", all-t.Measured)
	}
	return s
}

// WriteJSON writes one connection a line, so that a million of them neither need
// the memory of their text nor hide in one line.
func (m *Matrix) WriteJSON(w io.Writer) error {
	b := bufio.NewWriter(w)
	b.WriteString("{\"connections\":")
	if err := write(b, m.Rows, "[", "\n", ",\n", "\n]"); err != nil {
		return err
	}
	if m.Staged != nil {
		b.WriteString(",\n\"staged\":")
		if err := write(b, m.Staged, "[", "\n", ",\n", "\n]"); err != nil {
			return err
		}
	}
	b.WriteString("}\n")
	return b.Flush()
}

// WriteYAML writes the same lines as YAML, of which JSON is a part.
func (m *Matrix) WriteYAML(w io.Writer) error {
	b := bufio.NewWriter(w)
	b.WriteString("connections:")
	if err := write(b, m.Rows, "", "\n- ", "\n- ", "\n"); err != nil {
		return err
	}
	if m.Staged != nil {
		b.WriteString("staged:")
		if err := write(b, m.Staged, "", "\n- ", "\n- ", "\n"); err != nil {
			return err
		}
	}
	return b.Flush()
}

// write writes a list in the way of JSON or YAML; an empty one has
// brackets in both.
func write[T any](b *bufio.Writer, list []T, begin, first, next, end string) error {
	if len(list) == 0 {
		b.WriteString(map[bool]string{true: "[]", false: " []\n"}[begin == "["])
		return nil
	}
	b.WriteString(begin + first)
	for i := range list {
		text, err := json.Marshal(&list[i])
		if err != nil {
			return fmt.Errorf("encode connection %d: %w", i, err)
		}
		if i > 0 {
			b.WriteString(next)
		}
		b.Write(text)
	}
	b.WriteString(end)
	return nil
}
