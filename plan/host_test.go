package plan

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/bulkhead-dev/bulkhead/traffic"
)

// A node with pods 10.1.0.0/24 and an address 10.0.0.1: eth0 lets in TCP 80 and
// out nothing, every other device lets in nothing; nothing is passed on to TCP 81.
// Before translation TCP 82 is refused, and TCP 83 granted.
const doorsText = `plan n
host eth0 10.0.0.1 input 00000001 output 00000002 refuse-in 00000004 grant-in 00000005
host eth0 any input 00000006 output 00000002 enter 00000003 leave 00000007 refuse-in 00000004 grant-in 00000005
host - 10.0.0.2 input 00000006
host * any input 00000006
own 10.1.0.0/24
keep 10.96.0.1:443
class 00000001 ingress default deny
  allow any TCP 80
class 00000002 egress default deny
class 00000003 ingress default allow
  deny any TCP 81
class 00000004 ingress default allow
  deny any TCP 82
class 00000005 ingress default deny grants
  allow any TCP 83
class 00000006 ingress default deny
class 00000007 egress default allow
  deny any TCP 81
`

func TestTextOfDoorsComesBack(t *testing.T) {
	p := mustParse(t, doorsText)
	if got := Text(p); got != doorsText {
		t.Errorf("got\n%s", got)
	}
	for text, want := range map[string]string{
		"host eth0 any input 00000009": "the plan has no ingress class 00000009",
		"host eth0 any input":          "line 2: want",
		"host eth0 any door 00000009":  `line 2: unknown place "door"`,
		"host eth0 10.0.0 open":        "line 2: parse address",
		"own 10.0.0.1":                 "line 2: parse own addresses",
		"keep 10.0.0.1":                "line 2: parse what to keep",
	} {
		if _, err := Parse("plan n\n" + text + "\n"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

func TestTraceOfDoors(t *testing.T) {
	p := mustParse(t, doorsText)
	x := NewIndex(p)
	for _, row := range []struct {
		what          string
		from, to, dev string // dev: where it comes in, out of it if from is the node
		port          uint16
		asked         string
		want          traffic.Verdict
	}{
		{"in by the device", "192.0.2.1", "10.0.0.1", "eth0", 80, "", traffic.Allow},
		{"in by another port", "192.0.2.1", "10.0.0.1", "eth0", 443, "", traffic.Deny},
		{"in by another device", "192.0.2.1", "10.0.0.1", "eth1", 80, "", traffic.Deny},
		{"from a pod", "10.1.0.5", "10.0.0.1", "", 80, "", traffic.Deny},
		{"the node to itself", "10.0.0.1", "10.0.0.1", "lo", 443, "", traffic.Allow},
		{"out", "10.0.0.1", "192.0.2.1", "eth0", 443, "", traffic.Deny},
		{"out by another device", "10.0.0.1", "192.0.2.1", "eth1", 443, "", traffic.Allow},
		{"to its pod", "10.0.0.1", "10.1.0.5", "", 443, "", traffic.Allow},
		{"kept, translated", "10.0.0.1", "192.0.2.1", "eth0", 6443, "10.96.0.1:443", traffic.Allow},
		{"kept, as it is", "10.0.0.1", "10.96.0.1", "eth0", 443, "", traffic.Allow},
		{"passed on to a pod", "192.0.2.1", "10.1.0.5", "eth0", 80, "", traffic.Allow},
		{"passed on to a pod, denied", "192.0.2.1", "10.1.0.5", "eth0", 81, "", traffic.Deny},
		{"passed on from a pod, denied", "10.1.0.5", "192.0.2.1", "eth0", 81, "", traffic.Deny},
		{"pods of the node", "10.1.0.5", "10.1.0.6", "", 81, "", traffic.Allow},
		{"refused before translation", "192.0.2.1", "10.1.0.5", "eth0", 80, "10.0.0.1:82", traffic.Deny},
		{"and not for its port behind it", "192.0.2.1", "10.1.0.5", "eth0", 82, "10.0.0.1:30080", traffic.Allow},
		{"granted before translation", "192.0.2.1", "10.1.0.5", "eth0", 81, "10.0.0.1:83", traffic.Allow},
		{"granted to the node", "192.0.2.1", "10.0.0.1", "eth0", 83, "", traffic.Allow},
	} {
		packet := Packet{
			From: netip.MustParseAddr(row.from), To: netip.MustParseAddr(row.to), Protocol: traffic.TCP, Port: row.port,
			FromNode: row.from == "10.0.0.1", ToNode: row.to == "10.0.0.1", In: row.dev, Out: row.dev,
		}
		if row.asked != "" {
			packet.Asked = netip.MustParseAddrPort(row.asked)
		}
		if got := p.Trace(packet); got != row.want {
			t.Errorf("%s: %s, want %s", row.what, got, row.want)
		}
		if got := x.Trace(packet); got != row.want {
			t.Errorf("%s: the index says %s, want %s", row.what, got, row.want)
		}
	}
}

// What changes at a door concerns every connection; what changes of a class, all
// that pass a door which asks it.
func TestScopeOfDoors(t *testing.T) {
	before, after := mustParse(t, doorsText), mustParse(t, strings.Replace(doorsText, "  allow any TCP 80\n", "", 1))
	d := Compare(before, after)
	from, to := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("10.0.0.1")
	if s := d.Scope(); s.All || !s.Contains(after, from, to) || !s.Hosts(after) {
		t.Errorf("scope %+v", s)
	}
	d = Compare(before, mustParse(t, strings.Replace(doorsText, "keep 10.96.0.1:443\n", "", 1)))
	if s := d.Scope(); !s.All {
		t.Errorf("scope %+v", s)
	}
	if text := d.Text(); text != "- keep 10.96.0.1:443\n" {
		t.Errorf("text %q", text)
	}
	d.Apply(before)
	if len(before.Keep) != 0 {
		t.Errorf("applied: %v", before.Keep)
	}
}

func mustParse(t *testing.T, text string) *Plan {
	t.Helper()
	p, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
