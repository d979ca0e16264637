package calico

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

var protocolNames = map[string]traffic.Protocol{
	"TCP": traffic.TCP, "UDP": traffic.UDP, "ICMP": traffic.ICMP, "ICMPv6": traffic.ICMPv6, "SCTP": traffic.SCTP, "UDPLite": 136,
}

// protocolOf is AnyProtocol for what is no protocol.
func protocolOf(p *intstr.IntOrString) traffic.Protocol {
	if p.Type == intstr.Int {
		if p.IntVal < 1 || p.IntVal > 255 {
			return traffic.AnyProtocol
		}
		return traffic.Protocol(p.IntVal)
	}
	for name, protocol := range protocolNames {
		if strings.EqualFold(name, p.StrVal) {
			return protocol
		}
	}
	if n, err := strconv.ParseUint(p.StrVal, 10, 8); err == nil {
		return traffic.Protocol(n)
	}
	return traffic.AnyProtocol
}

// protocol is AnyProtocol if the field is absent.
func (w *ruleReader) protocol(p *intstr.IntOrString, path *field.Path) traffic.Protocol {
	if p == nil {
		return traffic.AnyProtocol
	}
	protocol := protocolOf(p)
	if protocol == traffic.AnyProtocol {
		w.mistake(field.Invalid(path, p.String(), "must be TCP, UDP, ICMP, ICMPv6, SCTP, UDPLite or a number from 1 to 255"))
	}
	version := w.from.IPVersion
	wrong := map[traffic.Protocol]int{traffic.ICMP: 6, traffic.ICMPv6: 4}[protocol]
	if version != nil && *version == wrong {
		w.fail(field.Invalid(path, p.String(), fmt.Sprintf("is not a protocol of ipVersion %d", wrong)))
	}
	return protocol
}

// protocols reads protocols, ICMP types and the ports of the destination.
func (w *ruleReader) protocols(to *policy.Rule) {
	protocol := w.protocol(w.from.Protocol, w.path.Child("protocol"))
	to.Ports = w.ports(w.from.Destination.Ports, protocol, w.path.Child("destination", "ports"))
	to.NotPorts = w.ports(w.from.Destination.NotPorts, protocol, w.path.Child("destination", "notPorts"))
	if w.from.NotProtocol != nil {
		not := w.protocol(w.from.NotProtocol, w.path.Child("notProtocol"))
		to.NotPorts = append(to.NotPorts, policy.Port{Protocol: not})
	}
	if w.from.ICMP != nil {
		if p, ok := w.icmp(w.from.ICMP, protocol, w.path.Child("icmp")); ok {
			to.Ports = append(to.Ports, p)
		}
		if !protocol.HasTypes() {
			w.mistake(field.Invalid(w.path.Child("icmp"), protocol.String(), "needs protocol ICMP or ICMPv6"))
		}
	}
	if w.from.NotICMP != nil {
		if p, ok := w.icmp(w.from.NotICMP, protocol, w.path.Child("notICMP")); ok {
			to.NotPorts = append(to.NotPorts, p)
		}
	}
	if len(to.Ports) == 0 && protocol == traffic.AnyProtocol {
		to.AnyPort = true
	} else if len(to.Ports) == 0 {
		to.Ports = []policy.Port{{Protocol: protocol}}
	}
}

// icmp is not ok for a type that is not given, which is no condition.
func (w *ruleReader) icmp(f *ICMPFields, protocol traffic.Protocol, path *field.Path) (policy.Port, bool) {
	if f.Type == nil {
		if f.Code != nil {
			w.mistake(field.Invalid(path.Child("code"), *f.Code, "needs a type"))
		}
		return policy.Port{}, false
	}
	if *f.Type < 0 || *f.Type > 254 {
		w.mistake(field.Invalid(path.Child("type"), *f.Type, "must be between 0 and 254, inclusive"))
		return policy.Port{}, false
	}
	kind := uint8(*f.Type)
	p := policy.Port{Protocol: protocol, Typed: true, From: traffic.ICMPPort(kind, 0), To: traffic.ICMPPort(kind, 255)}
	if f.Code == nil {
		return p, true
	}
	if *f.Code < 0 || *f.Code > 255 {
		w.mistake(field.Invalid(path.Child("code"), *f.Code, "must be between 0 and 255, inclusive"))
		return policy.Port{}, false
	}
	p.From = traffic.ICMPPort(kind, uint8(*f.Code))
	p.To = p.From
	return p, true
}

const mostPorts = 50

func (w *ruleReader) ports(list []intstr.IntOrString, protocol traffic.Protocol, path *field.Path) []policy.Port {
	read := w.portList(list, path)
	for i := range read {
		read[i].Protocol = protocol
	}
	return read
}

// portList reads ports without their protocol.
func (w *ruleReader) portList(list []intstr.IntOrString, path *field.Path) []policy.Port {
	if len(list) > mostPorts {
		w.fail(field.TooMany(path, len(list), mostPorts))
	}
	if len(list) > 0 && (w.from.Protocol == nil || !protocolOf(w.from.Protocol).HasPorts()) {
		w.mistake(field.Invalid(path, len(list), "needs protocol TCP, UDP or SCTP in the rule"))
	}
	var read []policy.Port
	for i := range list {
		if p, message := portOf(&list[i]); message != "" {
			w.mistake(field.Invalid(path.Index(i), list[i].String(), message))
		} else {
			read = append(read, p)
		}
	}
	return read
}

var (
	portRange = regexp.MustCompile(`^[0-9]+(:[0-9]+)?$`)
	portName  = regexp.MustCompile(`^[a-zA-Z0-9_.-]{1,128}$`)
)

// portOf reads a number, a range such as "8000:9000", or a name.
func portOf(p *intstr.IntOrString) (read policy.Port, message string) {
	text := p.String()
	if !portRange.MatchString(text) {
		if p.Type == intstr.Int || !portName.MatchString(text) {
			return read, `must be a number from 1 to 65535, a range such as "8000:9000", or a name`
		}
		return policy.Port{Name: text}, ""
	}
	first, last, isRange := strings.Cut(text, ":")
	if !isRange {
		last = first
	}
	from, err := strconv.ParseUint(first, 10, 16)
	to, err2 := strconv.ParseUint(last, 10, 16)
	switch {
	case err != nil || err2 != nil || from == 0 || to == 0:
		return read, "must be between 1 and 65535, inclusive"
	case from > to:
		return read, "must have its lower port first: exchange the two"
	}
	return policy.Port{From: uint16(from), To: uint16(to)}, ""
}
