package plan

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/bulkhead-dev/bulkhead/traffic"
)

// AllDevices is the device of a Door that stands for every device that has no
// door of its own, those of pods included.
const AllDevices = "*"

// Door is where connections enter and leave the node, under policies on hosts.
type Door struct {
	// Device is its name, or AllDevices; empty: every device but those of pods,
	// for connections whose own end is Addr, or that the node passes on.
	Device string
	Addr   netip.Addr // the node's own end of a connection; the zero value: any other
}

// String is "eth0 10.0.0.1", "* any", or "- any" without a device.
func (d Door) String() string {
	addr := "any"
	if d.Addr.IsValid() {
		addr = d.Addr.String()
	}
	return cmp.Or(d.Device, "-") + " " + addr
}

// Compare orders doors as they are tried: those of a device, those without, those
// of all devices; an address before all others.
func (d Door) Compare(o Door) int {
	rank := func(d Door) int {
		switch d.Device {
		case "":
			return 1
		case AllDevices:
			return 2
		}
		return 0
	}
	valid := func(d Door) int {
		if d.Addr.IsValid() {
			return 0
		}
		return 1
	}
	return cmp.Or(cmp.Compare(rank(d), rank(o)), strings.Compare(d.Device, o.Device), cmp.Compare(valid(d), valid(o)), d.Addr.Compare(o.Addr))
}

// Host is the classes that are asked at a door; zero: nothing is asked.
type Host struct {
	// Input and Output are of connections to the node itself and from it.
	Input, Output ClassID
	// Enter and Leave are of what the node passes on.
	Enter, Leave ClassID
	// RefuseIn and GrantIn are asked before translation of what comes in, but for
	// what own pods send: what the first denies is denied, and what the second
	// allows is asked nothing more. RefuseOut and GrantOut are the same of what
	// the node itself sends.
	RefuseIn, GrantIn, RefuseOut, GrantOut ClassID
}

// hostFields are the classes of a host with their names in texts.
func (h *Host) fields() []hostField {
	return []hostField{
		{"input", &h.Input, traffic.Ingress}, {"output", &h.Output, traffic.Egress},
		{"enter", &h.Enter, traffic.Ingress}, {"leave", &h.Leave, traffic.Egress},
		{"refuse-in", &h.RefuseIn, traffic.Ingress}, {"grant-in", &h.GrantIn, traffic.Ingress},
		{"refuse-out", &h.RefuseOut, traffic.Egress}, {"grant-out", &h.GrantOut, traffic.Egress},
	}
}

type hostField struct {
	name      string
	class     *ClassID
	direction traffic.Direction
}

// Classes are the classes that are asked, by direction.
func (h Host) Classes() map[ClassID]traffic.Direction {
	found := map[ClassID]traffic.Direction{}
	for _, f := range h.fields() {
		if *f.class != 0 {
			found[*f.class] = f.direction
		}
	}
	return found
}

// With is the host with the classes of another in the places that it names.
func (h Host) With(o Host) Host {
	to, from := h.fields(), o.fields()
	for i := range to {
		if *from[i].class != 0 {
			*to[i].class = *from[i].class
		}
	}
	return h
}

// String is "input 0000000a output 0000000b", "open" for a door where nothing is
// asked.
func (h Host) String() string {
	var words []string
	for _, f := range h.fields() {
		if *f.class != 0 {
			words = append(words, f.name+" "+f.class.String())
		}
	}
	if len(words) == 0 {
		return "open"
	}
	return strings.Join(words, " ")
}

// parseHost reads what String writes.
func parseHost(words []string) (Host, error) {
	var h Host
	if len(words) == 1 && words[0] == "open" {
		return h, nil
	}
	if len(words)%2 != 0 {
		return h, fmt.Errorf("want \"host DEVICE ADDRESS\" and pairs of a place and a class, or open")
	}
	for i := 0; i < len(words); i += 2 {
		fields := h.fields()
		at := slices.IndexFunc(fields, func(f hostField) bool { return f.name == words[i] })
		if at < 0 {
			return h, fmt.Errorf("unknown place %q of a host", words[i])
		}
		id, err := parseClass(words[i+1])
		if err != nil {
			return h, err
		}
		*fields[at].class = id
	}
	return h, nil
}

// ParseHost reads a door and its classes as texts have them: what String of both
// writes, with a space between.
func ParseHost(text string) (Door, Host, error) {
	words := strings.Fields(text)
	if len(words) < 3 {
		return Door{}, Host{}, fmt.Errorf("want \"host DEVICE ADDRESS\" and its classes")
	}
	var d Door
	if words[0] != "-" {
		d.Device = words[0]
	}
	if words[1] != "any" {
		addr, err := netip.ParseAddr(words[1])
		if err != nil {
			return d, Host{}, fmt.Errorf("parse address: %w", err)
		}
		d.Addr = addr
	}
	h, err := parseHost(words[2:])
	return d, h, err
}

func hostLine(d Door, h Host) string { return "host " + d.String() + " " + h.String() }

func comparePrefixes(a, b netip.Prefix) int {
	return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
}

// hostLines are the entries of policies on hosts.
func (p *Plan) hostLines() []string {
	var lines []string
	for _, d := range slices.SortedFunc(maps.Keys(p.Hosts), Door.Compare) {
		lines = append(lines, hostLine(d, p.Hosts[d]))
	}
	for _, prefix := range slices.SortedFunc(maps.Keys(p.Own), comparePrefixes) {
		lines = append(lines, "own "+prefix.String())
	}
	for _, to := range slices.SortedFunc(maps.Keys(p.Keep), netip.AddrPort.Compare) {
		lines = append(lines, "keep "+to.String())
	}
	return lines
}

// checkHosts finds classes of hosts that stand for nothing.
func (p *Plan) checkHosts() error {
	for _, d := range slices.SortedFunc(maps.Keys(p.Hosts), Door.Compare) {
		for id, direction := range p.Hosts[d].Classes() {
			if class, ok := p.Classes[id]; !ok || class.Direction != direction {
				return fmt.Errorf("host %s: the plan has no %s class %s", d, direction, id)
			}
		}
	}
	return nil
}

func (p *Plan) documentHosts(d *document) {
	for _, door := range slices.SortedFunc(maps.Keys(p.Hosts), Door.Compare) {
		host := hostDocument{Device: door.Device, Classes: map[string]string{}}
		if door.Addr.IsValid() {
			host.Address = door.Addr.String()
		}
		h := p.Hosts[door]
		for _, f := range h.fields() {
			if *f.class != 0 {
				host.Classes[f.name] = f.class.String()
			}
		}
		d.Hosts = append(d.Hosts, host)
	}
	d.Own = slices.SortedFunc(maps.Keys(p.Own), comparePrefixes)
	d.Keep = slices.SortedFunc(maps.Keys(p.Keep), netip.AddrPort.Compare)
}
