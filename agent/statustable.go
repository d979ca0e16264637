package agent

import (
	"fmt"
	"strings"
	"time"

	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/printer"
)

var _ printer.Tabler = Status{}

// Enforces tells whether the kernel has all that the source asks for.
func (s Status) Enforces() bool {
	for _, f := range s.Faults {
		if f.Reason == NotEnforced {
			return false
		}
	}
	for _, p := range s.Problems {
		if p.Fatal {
			return false
		}
	}
	return s.Ready && !s.Refused && s.Kernel.Failed == "" && s.Source.Failed == ""
}

// WriteTable is the status as people read it: the node, what is wrong, the pods.
func (s Status) WriteTable(p *printer.Printer) error {
	for _, rows := range [][][]printer.Cell{s.head(), s.wrong(), s.pods()} {
		if len(rows) == 0 {
			continue
		}
		if err := p.Columns(rows); err != nil {
			return err
		}
	}
	return nil
}

func (s Status) head() [][]printer.Cell {
	state := printer.Cell{Text: "in force since " + clock(s.Kernel.Changed), Style: printer.Green}
	switch {
	case s.Kernel.Failed != "":
		state = printer.Cell{Text: "the kernel refuses the present state: " + s.Kernel.Failed, Style: printer.Alarm}
	case s.Refused:
		state = printer.Cell{Text: "refused: another policy engine filters on this node", Style: printer.Alarm}
	case !s.Ready:
		state = printer.Cell{Text: "still reading; what was in force before stands", Style: printer.Yellow}
	}
	node := plain(s.Node)
	if s.Ready && !s.NodeExists {
		node = printer.Cell{Text: s.Node + " (the cluster has no node of this name)", Style: printer.Yellow}
	}
	return [][]printer.Cell{
		{bold("node"), node},
		{bold("agent"), plain(fmt.Sprintf("%s, started %s", s.Version, clock(s.Started)))},
		{bold("mode"), plain(s.Mode)},
		{bold("source"), s.Source.cell()},
		{bold("tables"), state},
		{bold("starts"), s.Held.cell()},
		{bold("runtime"), runtimeCell(s.Runtime)},
		{bold("sources"), s.Sources.cell()},
		{bold("policies"), plain(fmt.Sprintf("%d in the cluster", s.Policies) + kindsText(s.Kinds))},
		{},
	}
}

func (s SourceStatus) cell() printer.Cell {
	if s.Failed != "" {
		return printer.Cell{Text: fmt.Sprintf("%s cannot be used, the last good state stands: %s", s.Name, s.Failed), Style: printer.Alarm}
	}
	for _, t := range s.Tables {
		if t.Lost != "" {
			return printer.Cell{Text: fmt.Sprintf("%s does not answer since %s: %s", s.Name, clock(t.Since), t.Lost), Style: printer.Alarm}
		}
	}
	return plain(s.Name)
}

func (s Status) wrong() [][]printer.Cell {
	var rows [][]printer.Cell
	for _, p := range s.Problems {
		style := printer.Yellow
		if p.Fatal {
			style = printer.Alarm
		}
		rows = append(rows, []printer.Cell{{Text: p.Name, Style: style}, plain(p.Text)})
	}
	for _, e := range s.Neighbours {
		rows = append(rows, []printer.Cell{{Text: e.Name, Style: printer.Yellow}, plain("filters on this node: " + strings.Join(e.Because, ", "))})
	}
	for _, f := range s.Faults {
		rows = append(rows, []printer.Cell{
			{Text: f.Object, Style: printer.Yellow}, plain(consequences[f.Reason] + " (since " + clock(f.Since) + "): " + f.Text),
		})
	}
	if len(rows) > 0 {
		rows = append(rows, nil)
	}
	return rows
}

func (s Status) pods() [][]printer.Cell {
	if len(s.Pods) == 0 {
		return [][]printer.Cell{{plain("no pods on this node's pod network")}}
	}
	rows := [][]printer.Cell{{bold("POD"), bold("ADDRESSES"), bold("INGRESS"), bold("EGRESS"), bold("SINCE")}}
	for _, pod := range s.Pods {
		addrs := make([]string, 0, len(pod.Addresses))
		for _, a := range pod.Addresses {
			addrs = append(addrs, a.String())
		}
		row := []printer.Cell{plain(pod.Pod), plain(strings.Join(addrs, ",")), plain("?"), plain("?"), plain("")}
		if s.Ready {
			row[2], row[3] = pod.Ingress.cell(), pod.Egress.cell()
		}
		if pod.Since != nil {
			row[4] = plain(clock(*pod.Since))
		}
		rows = append(rows, row)
	}
	return rows
}

func (p Protection) cell() printer.Cell {
	if !p.Isolated {
		return printer.Cell{Text: "open", Style: printer.Dim}
	}
	policies := strings.Join(p.Policies, ",")
	if p.Audited {
		return printer.Cell{Text: "audit " + policies, Style: printer.Yellow}
	}
	return printer.Cell{Text: policies, Style: printer.Green}
}

// kindsText is ": 2 NetworkPolicy, 1 NetworkPolicy (calico)".
func kindsText(kinds []PolicyKind) string {
	var words []string
	for _, k := range kinds {
		word := fmt.Sprintf("%d %s", k.Count, k.Kind)
		if k.Dialect == policy.Calico.String() {
			word += " (calico)" // whose names others have too
		}
		words = append(words, word)
	}
	if len(words) == 0 {
		return ""
	}
	return ": " + strings.Join(words, ", ")
}

func clock(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05") }

func plain(text string) printer.Cell { return printer.Cell{Text: text} }

func bold(text string) printer.Cell { return printer.Cell{Text: text, Style: printer.Bold} }
