package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// AllDevices is the device of a host that stands for all devices of its node,
// those of pods included.
const AllDevices = "*"

// Host is a node's network device, or all of them, under policies of its own:
// Calico's HostEndpoint. What no policy decides is denied there, but for
// forwarded traffic.
type Host struct {
	Ref
	Node string
	// Device is its name, or AllDevices; empty: the device that has one of Addrs.
	Device string
	Addrs  []netip.Addr // that the device is expected to have
	Labels map[string]string
	Ports  []cluster.Port // named ports of the node
	// Open: what no policy decides is allowed (the profile
	// projectcalico-default-allow).
	Open   bool
	Source Source
}

// Resolve is the numbers that the host has for a port's name.
func (h *Host) Resolve(name string, protocol traffic.Protocol) []uint16 {
	return (&cluster.Pod{Ports: h.Ports}).Resolve(name, protocol)
}

// HostOf is the host of a node that a connection passes, nil if there is none.
// The address is the node's own end of the connection; the zero value if it has
// none there. FromPod: the connection comes from a pod of the node, through a
// device that only AllDevices stands for.
//
// A device's own host comes before that of all devices, and of several that
// could be meant the first by name. Which device has which address nobody says
// but Addrs; without it, a named device is taken for the one that leads out.
func HostOf(hosts []*Host, addr netip.Addr, fromPod bool) *Host {
	var best *Host
	rank := 0
	for _, h := range hosts {
		other := func(o *Host) bool { return o.Device == h.Device && o.Device != "" && o.Name < h.Name }
		if slices.ContainsFunc(hosts, other) {
			continue // two for one device: the first has it
		}
		if r := h.rank(addr, fromPod); r > rank || r == rank && best != nil && h.Name < best.Name {
			best, rank = h, r
		}
	}
	return best
}

// rank is how well the host fits, zero if it does not.
func (h *Host) rank(addr netip.Addr, fromPod bool) int {
	has := slices.Contains(h.Addrs, addr)
	switch {
	case h.Device == AllDevices:
		return 1
	case fromPod:
		return 0
	case h.Device == "" && (has || !addr.IsValid()):
		return 2
	case h.Device == "":
		return 0
	case has:
		return 4
	}
	return 3
}

// Stage is where on a packet's way a policy on hosts is asked. Its zero value is
// Tracked.
type Stage uint8

// The stages. In the first two, a connection that no rule decides goes on to the
// next stage, and one that is allowed is asked nothing more of the host.
const (
	Tracked        Stage = iota // after translation, where pods' policies are asked
	PreTranslation              // before services' addresses are translated
	Untracked                   // before all others
)

// HostSubject is the hosts that a policy protects.
type HostSubject struct {
	// Nodes: the selector picks nodes by their labels, for what they send and
	// receive themselves; otherwise Hosts.
	Nodes bool
	Hosts Selector // nil: all
	Stage Stage
	// Forward: the policy is also asked of what the host passes on; always true
	// before Tracked.
	Forward bool
}

// String is canonical: "hosts {role=edge} before translation".
func (s HostSubject) String() string {
	text := "hosts"
	if s.Nodes {
		text = "nodes themselves"
	}
	if s.Hosts != nil {
		text += " {" + s.Hosts.String() + "}"
	}
	text += [...]string{Tracked: "", PreTranslation: " before translation", Untracked: " untracked"}[s.Stage]
	if s.Forward {
		text += " also forwarded"
	}
	return text
}

// NoPods is the subject of a policy that protects hosts alone.
func NoPods() PodSelector { return PodSelector{Pods: nobody{}} }

// Blind is the policy as it is asked where nobody knows what the rules ask of
// their own end: a rule that allows or logs does not match then, and one that
// denies or passes denies.
func (p *Policy) Blind() *Policy {
	blind := *p
	blind.Ingress, blind.Egress = p.Ingress.blind(), p.Egress.blind()
	return &blind
}

// AsksSelf tells whether a rule of a direction asks something of its own end.
func (p *Policy) AsksSelf(d traffic.Direction) bool {
	rules := p.In(d)
	return rules != nil && slices.ContainsFunc(rules.Rules, func(r Rule) bool { return len(r.Self) > 0 })
}

func (rules *Rules) blind() *Rules {
	if rules == nil {
		return nil
	}
	blind := &Rules{Isolates: rules.Isolates, Rules: slices.Clone(rules.Rules)}
	for i, r := range blind.Rules {
		switch {
		case len(r.Self) == 0:
		case r.Action == Allow || r.Action == Log:
			blind.Rules[i] = Rule{Name: r.Name, Action: r.Action}
		default:
			blind.Rules[i].Action, blind.Rules[i].Self = Deny, nil
		}
	}
	return blind
}

// Failsafe is a port that stays open on hosts whatever their policies say, so
// that nobody locks himself out.
type Failsafe struct {
	Protocol traffic.Protocol
	Port     uint16
	Net      netip.Prefix // of the other end; the zero value: anybody
}

// Matches tells whether a connection is to the port, with that other end.
func (f Failsafe) Matches(protocol traffic.Protocol, port uint16, other netip.Addr) bool {
	return f.Protocol == protocol && f.Port == port && (!f.Net.IsValid() || f.Net.Contains(other))
}

// ParseFailsafe reads "tcp:22", or for the other end's network "tcp:10.0.0.0/8:22",
// as Calico's configuration has it.
func ParseFailsafe(text string) (Failsafe, error) {
	wrong := fmt.Errorf("failsafe port %q: write PROTOCOL:PORT or PROTOCOL:CIDR:PORT, for example tcp:22 or tcp:10.0.0.0/8:22", text)
	name, rest, _ := strings.Cut(text, ":")
	protocol, err := traffic.ParseProtocol(name)
	if err != nil || !protocol.HasPorts() {
		return Failsafe{}, wrong
	}
	f := Failsafe{Protocol: protocol}
	if at := strings.LastIndexByte(rest, ':'); at >= 0 {
		network := strings.NewReplacer("[", "", "]", "").Replace(rest[:at])
		if f.Net, err = netip.ParsePrefix(network); err != nil {
			return Failsafe{}, wrong
		}
		f.Net, rest = f.Net.Masked(), rest[at+1:]
	}
	port, err := strconv.ParseUint(rest, 10, 16)
	if err != nil || port == 0 {
		return Failsafe{}, wrong
	}
	f.Port = uint16(port)
	return f, nil
}

// String is what ParseFailsafe reads.
func (f Failsafe) String() string {
	network := ""
	if f.Net.IsValid() {
		network = f.Net.String() + ":"
	}
	return fmt.Sprintf("%s:%s%d", strings.ToLower(f.Protocol.String()), network, f.Port)
}

// Failsafes are the ports that stay open to hosts and from them.
type Failsafes struct{ Ingress, Egress []Failsafe }

// In are the ports of a direction.
func (f Failsafes) In(d traffic.Direction) []Failsafe {
	if d == traffic.Ingress {
		return f.Ingress
	}
	return f.Egress
}

// DefaultFailsafes are those of Felix: SSH, DHCP, BGP, etcd, Typha and the API
// server to a host; DNS, DHCP, BGP, etcd, Typha and the API server from it.
func DefaultFailsafes() Failsafes {
	var f Failsafes
	both := []uint16{179, 2379, 2380, 5473, 6443, 6666, 6667}
	for _, port := range both {
		f.Egress = append(f.Egress, Failsafe{Protocol: traffic.TCP, Port: port})
	}
	f.Ingress = append(slices.Clone(f.Egress), Failsafe{Protocol: traffic.TCP, Port: 22}, Failsafe{Protocol: traffic.UDP, Port: 68})
	f.Egress = append(f.Egress, Failsafe{Protocol: traffic.UDP, Port: 53}, Failsafe{Protocol: traffic.UDP, Port: 67})
	return f
}
