package cilium

import (
	"regexp"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

const mostPorts = 40 // of one entry, and types of ICMP

// protocols are those that the API names; the transports are what ANY stands for.
var (
	protocols = map[string]traffic.Protocol{
		"TCP": traffic.TCP, "UDP": traffic.UDP, "SCTP": traffic.SCTP,
		"VRRP": 112, "IGMP": 2, "GRE": 47, "IPIP": 4, "IPV6": 41, "ESP": 50, "AH": 51,
	}
	transports = []traffic.Protocol{traffic.TCP, traffic.UDP, traffic.SCTP}
)

// readPorts reads what a rule says of ports. One that does not means all of them
// if it says who the other end is, and else nothing.
func (w *ruleReader) readPorts(limited bool) []ports {
	if len(w.ports) > 0 && len(w.icmps) > 0 {
		w.mistake(field.Forbidden(w.path.Child("icmps"), "cannot be given along with toPorts: make two rules"))
	}
	if len(w.ports)+len(w.icmps) == 0 {
		if limited {
			return []ports{{any: true}}
		}
		return nil
	}
	var all []ports
	simple := -1
	for i := range w.ports {
		path := w.path.Child("toPorts").Index(i)
		part := ports{list: w.portRule(&w.ports[i], path)}
		switch enforced, more := w.beyondPorts(&w.ports[i], &part, path); {
		case !enforced || len(part.list) == 0:
		case more:
			all = append(all, part)
		case simple < 0:
			simple = len(all)
			all = append(all, part)
		default:
			all[simple].list = append(all[simple].list, part.list...)
		}
	}
	var types ports
	for i, rule := range w.icmps {
		types.list = append(types.list, w.icmp(rule, w.path.Child("icmps").Index(i))...)
	}
	if len(types.list) > 0 {
		all = append(all, types)
	}
	return all
}

func (w *ruleReader) portRule(rule *PortRule, path *field.Path) []policy.Port {
	path = path.Child("ports")
	if len(rule.Ports) > mostPorts {
		w.fail(field.TooMany(path, len(rule.Ports), mostPorts))
	}
	var read []policy.Port
	for i, p := range rule.Ports {
		read = append(read, w.port(p, path.Index(i))...)
	}
	return read
}

// port is one port for each protocol that is meant.
func (w *ruleReader) port(p PortProtocol, path *field.Path) []policy.Port {
	meant := transports
	if p.Protocol != "" && p.Protocol != "ANY" {
		protocol, known := protocols[p.Protocol]
		if !known {
			w.mistake(protocolError(p.Protocol, path.Child("protocol")))
			return nil
		}
		meant = []traffic.Protocol{protocol}
	}
	read, ok := w.number(p, meant[0].HasPorts(), path)
	if !ok {
		w.wrong = true
		return nil
	}
	all := make([]policy.Port, len(meant))
	for i, protocol := range meant {
		all[i] = read
		all[i].Protocol = protocol
	}
	return all
}

func protocolError(name string, path *field.Path) *field.Error {
	if upper := strings.ToUpper(name); protocols[upper] != 0 || upper == "ANY" {
		return field.Invalid(path, name, "write it in capitals: "+upper)
	}
	return field.NotSupported(path, name, []string{"TCP", "UDP", "SCTP", "VRRP", "IGMP", "GRE", "IPIP", "IPV6", "ESP", "AH", "ANY"})
}

// portName is a service's name as RFC 6335 has it; some numbers are names.
var portName = regexp.MustCompile(`^([a-zA-Z0-9]-?)*[a-zA-Z](-?[a-zA-Z0-9])*$`)

const longestPortName = 15

// number reads a port without its protocol. Zero is every port, and an end below
// the port is without effect, as in Cilium.
func (w *ruleReader) number(p PortProtocol, hasPorts bool, path *field.Path) (read policy.Port, ok bool) {
	path, end := path.Child("port"), path.Child("endPort")
	if p.EndPort < 0 || p.EndPort > 65535 {
		return read, w.fail(field.Invalid(end, p.EndPort, "must be between 0 and 65535, inclusive"))
	}
	switch {
	case !hasPorts && p.Port != "" && p.Port != "0":
		return read, w.fail(field.Forbidden(path, "the protocol has no ports: remove it"))
	case !hasPorts:
		return read, true
	case p.Port == "":
		return read, w.fail(field.Required(path, `give a number or a name; "0" is every port`))
	case portName.MatchString(p.Port) && len(p.Port) <= longestPortName:
		return policy.Port{Name: strings.ToLower(p.Port)}, true
	}
	n, err := strconv.ParseUint(p.Port, 0, 16) // 010 is 8, as in Cilium
	if err != nil {
		return read, w.fail(field.Invalid(path, p.Port, "must be a number from 0 to 65535, or a name of at most 15 letters, digits and dashes"))
	}
	read = policy.Port{From: uint16(n), To: uint16(n)}
	if n != 0 && uint64(p.EndPort) > n {
		read.To = uint16(p.EndPort)
	}
	return read, true
}

func (w *ruleReader) icmp(rule ICMPRule, path *field.Path) []policy.Port {
	path = path.Child("fields")
	if len(rule.Fields) > mostPorts {
		w.fail(field.TooMany(path, len(rule.Fields), mostPorts))
	}
	var read []policy.Port
	for i, f := range rule.Fields {
		if p, err := icmpType(f, path.Index(i)); err != nil {
			w.mistake(err)
		} else {
			read = append(read, p)
		}
	}
	return read
}

func icmpType(f ICMPField, path *field.Path) (policy.Port, *field.Error) {
	p := policy.Port{Protocol: traffic.ICMP, Typed: true}
	names := icmpNames
	switch f.Family {
	case "", "IPv4":
	case "IPv6":
		p.Protocol, names = traffic.ICMPv6, icmpv6Names
	default:
		return p, field.NotSupported(path.Child("family"), f.Family, []string{"IPv4", "IPv6"})
	}
	path = path.Child("type")
	if f.Type == nil {
		return p, field.Required(path, "give a number or a name such as EchoRequest")
	}
	kind, named := names[f.Type.String()]
	if !named {
		n, err := strconv.ParseUint(f.Type.String(), 10, 8)
		if err != nil {
			return p, icmpError(f, path)
		}
		kind = uint8(n)
	}
	p.From, p.To = traffic.ICMPPort(kind, 0), traffic.ICMPPort(kind, 255)
	return p, nil
}

func icmpError(f ICMPField, path *field.Path) *field.Error {
	detail := "must be a number from 0 to 255 or the name of a type of ICMP, such as EchoRequest"
	if _, other := icmpv6Names[f.Type.String()]; other && f.Family != "IPv6" {
		detail = "is a type of ICMPv6: say family: IPv6 for it"
	}
	return field.Invalid(path, f.Type.String(), detail)
}
