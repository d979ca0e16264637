package explanation

import (
	"fmt"
	"strings"

	"github.com/bulkhead-dev/bulkhead/printer"
	"github.com/bulkhead-dev/bulkhead/traffic"
	"github.com/bulkhead-dev/bulkhead/verdict"
)

// WriteTable writes the answer in one line, then what each direction says of it.
func (x *Explanation) WriteTable(p *printer.Printer) error {
	var b strings.Builder
	asked := fmt.Sprintf("%s -> %s %s", x.From, x.To, port(x.Protocol, x.Port))
	if len(x.Ways) == 0 {
		writeResult(&b, p, x.Result, asked)
	} else {
		fmt.Fprintf(&b, "%s  %s: %s\n", mark(p, x.Verdict), p.Paint(printer.Bold, asked), x.count())
		for _, w := range x.Ways {
			b.WriteByte('\n')
			writeResult(&b, p, w.Result, fmt.Sprintf("%s %s (%s)", connection(w), port(w.Protocol, w.Port), strings.Join(w.Addrs, ", ")))
		}
	}
	if x.Staged != nil {
		b.WriteByte('\n')
		writeResult(&b, p, *x.Staged, "if what is staged were enforced")
	}
	if len(x.Notes) > 0 {
		b.WriteByte('\n')
	}
	for _, note := range x.Notes {
		fmt.Fprintf(&b, "note: %s\n", note)
	}
	_, err := fmt.Fprint(p.Out, b.String())
	return err
}

func (x *Explanation) count() string {
	if len(x.Ways) == 1 {
		return fmt.Sprintf("the only way is %s", verdictWords[x.Verdict])
	}
	allowed := 0
	for _, w := range x.Ways {
		if w.Verdict.Opens() {
			allowed++
		}
	}
	return fmt.Sprintf("%d of %d ways are allowed", allowed, len(x.Ways))
}

func connection(w Way) string { return fmt.Sprintf("%s -> %s", w.From, w.To) }

func port(protocol traffic.Protocol, number uint16) string {
	switch {
	case protocol.HasTypes():
		return protocol.String() + " echo request" // what the directory asks about
	case number == 0:
		return protocol.String()
	}
	return fmt.Sprintf("%s %d", protocol, number)
}

// verdictWords complete "the only way is".
var verdictWords = map[traffic.Verdict]string{
	traffic.Allow: "allowed", traffic.Deny: "denied",
	traffic.InspectHTTP: "allowed for some requests", traffic.InspectDNS: "allowed for some queries",
}

var verdictStyles = map[traffic.Verdict]printer.Style{
	traffic.Allow: printer.Green, traffic.Deny: printer.Red,
	traffic.InspectHTTP: printer.Yellow, traffic.InspectDNS: printer.Yellow,
}

// mark is the verdict, as wide for all.
func mark(p *printer.Printer, v traffic.Verdict) string {
	const widest = len("allow")
	return p.Paint(verdictStyles[v], v.String()) + strings.Repeat(" ", widest-len(v.String()))
}

func writeResult(b *strings.Builder, p *printer.Printer, r verdict.Result, what string) {
	fmt.Fprintf(b, "%s  %s\n", mark(p, r.Verdict), p.Paint(printer.Bold, what))
	writeDecision(b, p, "egress", r.Egress)
	for _, f := range r.Forward {
		writeDecision(b, p, "node", f.Decision)
	}
	writeDecision(b, p, "ingress", r.Ingress)
}

// reasonAt is the column that reasons begin in.
const reasonAt = 18

// writeDecision writes the reason; the way through the tiers only where there is
// more than one step to it.
func writeDecision(b *strings.Builder, p *printer.Printer, direction string, d verdict.Decision) {
	wrapped := func(text string) string { return p.Wrap(strings.Fields(text), reasonAt, reasonAt) }
	fmt.Fprintf(b, "  %-7s  %s  %s\n", direction, mark(p, d.Verdict), wrapped(d.Reason))
	line := func(label, text string) {
		gap := strings.Repeat(" ", reasonAt-2-printer.Width(label))
		fmt.Fprintf(b, "%s%s  %s\n", gap, p.Paint(printer.Dim, label), wrapped(text))
	}
	if len(d.Steps) > 1 {
		for _, step := range d.Steps {
			line("step", step)
		}
	}
	for _, hint := range d.Hints {
		line("hint", hint)
	}
}
