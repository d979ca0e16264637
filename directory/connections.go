package directory

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/traffic"
	"github.com/bulkhead-dev/bulkhead/verdict"
)

// Connections are the ways from one place to another: one for each address
// family that both have, and to a service one for each backend. The port is a
// number, or a name that the destination has for it; it is empty for protocols
// without ports; of ICMP and ICMPv6 it is the echo request.
func (d *Directory) Connections(from, to Place, protocol traffic.Protocol, port string) ([]verdict.Connection, error) {
	if from.Service != nil {
		return nil, fmt.Errorf("%s does not open connections: name one of its pods", from)
	}
	if protocol.HasPorts() == (port == "") {
		if port == "" {
			return nil, fmt.Errorf("%s needs a port", protocol)
		}
		return nil, fmt.Errorf("%s has no ports: leave the port out", protocol)
	}
	for _, place := range []Place{from, to} {
		if place.Service == nil && len(place.Addrs) == 0 {
			return nil, fmt.Errorf("%s has no address", place)
		}
	}
	ends, err := d.ends(to, protocol, port)
	if err != nil {
		return nil, err
	}
	var list []verdict.Connection
	for _, end := range ends {
		list = append(list, between(from, end, protocol)...)
	}
	if len(list) == 0 {
		over := ""
		if protocol.HasTypes() {
			over = " that " + protocol.String() + " goes over"
		}
		return nil, fmt.Errorf("%s and %s have no address family in common%s", from, to, over)
	}
	return list, nil
}

// end is where a connection ends after translation.
type end struct {
	Place
	port uint16
}

// echo is what ping sends: the type that is asked about where a protocol has
// types (RFC 792, RFC 4443).
var echo = map[traffic.Protocol]uint16{
	traffic.ICMP:   traffic.ICMPPort(8, 0),
	traffic.ICMPv6: traffic.ICMPPort(128, 0),
}

// goesOver tells whether a protocol goes over IPv4, or over IPv6.
func goesOver(protocol traffic.Protocol, four bool) bool {
	return !protocol.HasTypes() || four == (protocol == traffic.ICMP)
}

// between are the connections for each family that both ends have.
func between(from Place, to end, protocol traffic.Protocol) []verdict.Connection {
	var list []verdict.Connection
	for _, b := range onePerFamily(to.Addrs) {
		for _, a := range onePerFamily(from.Addrs) {
			if a.Is4() == b.Is4() && goesOver(protocol, a.Is4()) {
				list = append(list, verdict.Connection{From: from.at(a), To: to.at(b), Protocol: protocol, Port: to.port})
			}
		}
	}
	return list
}

func onePerFamily(addrs []netip.Addr) []netip.Addr {
	var out []netip.Addr
	for _, four := range []bool{true, false} {
		if i := slices.IndexFunc(addrs, func(a netip.Addr) bool { return a.Is4() == four }); i >= 0 {
			out = append(out, addrs[i])
		}
	}
	return out
}

func (d *Directory) ends(to Place, protocol traffic.Protocol, port string) ([]end, error) {
	if to.Service != nil {
		return d.backends(to, protocol, port)
	}
	if port == "" {
		return []end{{to, echo[protocol]}}, nil
	}
	numbers, err := portNumbers(to, protocol, port)
	ends := make([]end, len(numbers))
	for i, number := range numbers {
		ends[i] = end{to, number}
	}
	return ends, err
}

// portNumbers reads a port: a number, or what the pod's containers call so.
func portNumbers(to Place, protocol traffic.Protocol, port string) ([]uint16, error) {
	if number, err := strconv.ParseUint(port, 10, 16); err == nil && number > 0 {
		return []uint16{uint16(number)}, nil
	}
	if _, err := strconv.Atoi(port); err == nil {
		return nil, fmt.Errorf("port %s: use 1 to 65535", port)
	}
	if to.Pod == nil {
		return nil, fmt.Errorf("port %q: %s has no names for ports, use a number", port, to)
	}
	if numbers := to.Pod.Resolve(port, protocol); len(numbers) > 0 {
		return numbers, nil
	}
	return nil, fmt.Errorf("port %q: %s has no %s port of that name%s", port, to, protocol, known(podPorts(to.Pod)))
}

// known lists what there is instead.
func known(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return "; it has " + strings.Join(names, ", ")
}

func podPorts(pod *cluster.Pod) []string {
	var names []string
	for _, p := range pod.Ports {
		if p.Name != "" {
			names = append(names, fmt.Sprintf("%s %s (%d)", p.Protocol, p.Name, p.Number))
		}
	}
	return names
}

// backends are where a service leads. A headless one only has a name: the client
// gets the pods' own addresses, and no port is translated.
func (d *Directory) backends(to Place, protocol traffic.Protocol, port string) ([]end, error) {
	service := to.Service
	if len(service.Selector) == 0 {
		return nil, fmt.Errorf("%s has no selector: what it leads to is not in the input", to)
	}
	pods := d.snapshot.Backends(service)
	if len(pods) == 0 {
		return nil, fmt.Errorf("%s has no backends: no pod of namespace %s has the labels it selects", to, service.Namespace)
	}
	entry, err := servicePort(to, protocol, port)
	if err != nil {
		return nil, err
	}
	var ends []end
	for _, pod := range pods {
		if number, ok := entry.Target(pod); ok {
			ends = append(ends, end{Place{Addrs: reachable(service, pod, to.Addrs), Pod: pod}, number})
		}
	}
	if len(ends) == 0 {
		return nil, fmt.Errorf("%s has no backends on port %s: no pod that it selects has a %s port named %s", to, port, protocol, entry.TargetName)
	}
	return ends, nil
}

// reachable are a backend's addresses in the families that the service is asked
// in.
func reachable(service *cluster.Service, pod *cluster.Pod, asked []netip.Addr) []netip.Addr {
	if service.Headless {
		return pod.Addrs
	}
	return slices.DeleteFunc(slices.Clone(pod.Addrs), func(a netip.Addr) bool {
		return !slices.ContainsFunc(asked, func(b netip.Addr) bool { return a.Is4() == b.Is4() })
	})
}

// servicePort is the service's port of a number or name.
func servicePort(to Place, protocol traffic.Protocol, port string) (cluster.ServicePort, error) {
	var names []string
	for _, p := range to.Service.Ports {
		if p.Protocol == protocol && (p.Name == port || strconv.Itoa(int(p.Port)) == port) {
			if to.Service.Headless && p.Name != port {
				p.TargetPort, p.TargetName = p.Port, ""
			}
			return p, nil
		}
		names = append(names, strings.TrimSpace(fmt.Sprintf("%s %d %s", p.Protocol, p.Port, p.Name)))
	}
	if number, err := strconv.ParseUint(port, 10, 16); err == nil && number > 0 && to.Service.Headless {
		return cluster.ServicePort{Protocol: protocol, Port: uint16(number), TargetPort: uint16(number)}, nil
	}
	return cluster.ServicePort{}, fmt.Errorf("%s has no port %s %s%s", to, protocol, port, known(names))
}
