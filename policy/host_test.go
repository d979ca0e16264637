package policy

import (
	"net/netip"
	"testing"

	"github.com/bulkhead-dev/bulkhead/traffic"
)

func hostAt(name, device string, addrs ...string) *Host {
	h := &Host{Ref: Ref{Name: name}, Device: device}
	for _, a := range addrs {
		h.Addrs = append(h.Addrs, netip.MustParseAddr(a))
	}
	return h
}

func TestHostOf(t *testing.T) {
	all, eth := hostAt("all", AllDevices), hostAt("eth", "eth0")
	for _, row := range []struct {
		what    string
		hosts   []*Host
		addr    string
		fromPod bool
		want    string
	}{
		{"none", nil, "10.0.0.1", false, ""},
		{"all devices", []*Host{all}, "10.0.0.1", false, "all"},
		{"a device before all", []*Host{all, eth}, "10.0.0.1", false, "eth"},
		{"a pod's device", []*Host{all, eth}, "10.0.0.1", true, "all"},
		{"no host has a pod's device", []*Host{eth}, "10.0.0.1", true, ""},
		{"the first of several", []*Host{hostAt("b", AllDevices), hostAt("a", AllDevices)}, "10.0.0.1", false, "a"},
		{"the first of one device, whatever it expects", []*Host{hostAt("b", "eth0", "10.0.0.1"), eth, hostAt("a", "eth0")}, "10.0.0.1", false, "a"},
		{"the device that has the address", []*Host{hostAt("a", "eth0"), hostAt("b", "eth1", "10.0.0.1")}, "10.0.0.1", false, "b"},
		{"an address", []*Host{all, hostAt("a", "", "10.0.0.1")}, "10.0.0.1", false, "a"},
		{"another's address", []*Host{all, hostAt("a", "", "10.0.0.2")}, "10.0.0.1", false, "all"},
		{"no own end", []*Host{all, hostAt("a", "", "10.0.0.2")}, "", false, "a"},
		{"a device before an address", []*Host{hostAt("a", "", "10.0.0.1"), eth}, "10.0.0.1", false, "eth"},
	} {
		var addr netip.Addr
		if row.addr != "" {
			addr = netip.MustParseAddr(row.addr)
		}
		got := ""
		if h := HostOf(row.hosts, addr, row.fromPod); h != nil {
			got = h.Name
		}
		if got != row.want {
			t.Errorf("%s: %q, want %q", row.what, got, row.want)
		}
	}
}

// For the blind, rules that ask for their own end let nothing pass.
func TestBlind(t *testing.T) {
	self := []Peer{{CIDR: &CIDR{Prefix: netip.MustParsePrefix("10.0.0.0/8")}}}
	p := &Policy{Ingress: &Rules{Isolates: true, Rules: []Rule{
		{Action: Allow, AnyPeer: true, AnyPort: true, Self: self},
		{Action: Log, AnyPeer: true, AnyPort: true, Self: self},
		{Action: Deny, AnyPeer: true, AnyPort: true, Self: self},
		{Action: Pass, AnyPeer: true, AnyPort: true, Self: self},
		{Action: Pass, AnyPeer: true, AnyPort: true},
	}}}
	const want = "pods | ingress isolates (allow) (log) (deny any peer any port) (deny any peer any port) (pass any peer any port)"
	if got := p.Blind().Text(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if !p.AsksSelf(traffic.Ingress) || p.AsksSelf(traffic.Egress) || p.Blind().AsksSelf(traffic.Ingress) {
		t.Error("who asks for its own end is not known")
	}
}

func TestDefaultFailsafes(t *testing.T) {
	f := DefaultFailsafes()
	for _, row := range []struct {
		list     []Failsafe
		protocol traffic.Protocol
		port     uint16
		want     bool
	}{
		{f.Ingress, traffic.TCP, 22, true}, {f.Egress, traffic.TCP, 22, false}, {f.Ingress, traffic.UDP, 68, true},
		{f.Egress, traffic.UDP, 53, true}, {f.Ingress, traffic.UDP, 53, false}, {f.Egress, traffic.UDP, 67, true},
		{f.Ingress, traffic.TCP, 6443, true}, {f.Egress, traffic.TCP, 6443, true}, {f.Egress, traffic.TCP, 5473, true},
		{f.Egress, traffic.TCP, 443, false}, {f.Ingress, traffic.TCP, 10250, false},
	} {
		got := false
		for _, p := range row.list {
			got = got || p.Matches(row.protocol, row.port, netip.MustParseAddr("192.0.2.1"))
		}
		if got != row.want {
			t.Errorf("%s %d: %t, want %t", row.protocol, row.port, got, row.want)
		}
	}
}

func TestParseFailsafe(t *testing.T) {
	for _, text := range []string{"tcp:22", "udp:10.0.0.0/8:68", "sctp:2001:db8::/32:5000"} {
		f, err := ParseFailsafe(text)
		if err != nil || f.String() != text {
			t.Errorf("%s: %s, %v", text, f, err)
		}
	}
	if f, err := ParseFailsafe("TCP:[2001:db8::/32]:22"); err != nil || f.String() != "tcp:2001:db8::/32:22" {
		t.Errorf("%s, %v", f, err)
	}
	for _, text := range []string{"", "22", "tcp", "tcp:", "tcp:0", "tcp:65536", "icmp:8", "tcp:10.0.0.0:22", "tcp:x:22"} {
		if f, err := ParseFailsafe(text); err == nil {
			t.Errorf("%q is %s", text, f)
		}
	}
}
