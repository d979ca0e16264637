package plan

import (
	"net/netip"
	"testing"

	"github.com/bulkhead-dev/bulkhead/traffic"
)

const audited = `plan node-a
local 10.0.0.1 egress 00000000 ingress 000000c1
local 10.0.0.2 egress 00000000 ingress 000000c2
class 000000c1 ingress default deny audit
  policy shop/deny
class 000000c2 ingress default deny
  policy shop/deny
`

func TestAuditedClassDeniesNothing(t *testing.T) {
	p, err := Parse(audited)
	if err != nil {
		t.Fatal(err)
	}
	if got := Text(p); got != audited {
		t.Errorf("text comes back as\n%s", got)
	}
	x := NewIndex(p)
	for to, want := range map[string]traffic.Verdict{"10.0.0.1": traffic.Allow, "10.0.0.2": traffic.Deny} {
		packet := Packet{From: netip.MustParseAddr("10.0.0.9"), To: netip.MustParseAddr(to), Protocol: traffic.TCP, Port: 80}
		if got := p.Trace(packet); got != want {
			t.Errorf("to %s: traced to %s, want %s", to, got, want)
		}
		if got := x.Trace(packet); got != want {
			t.Errorf("to %s: traced by the index to %s, want %s", to, got, want)
		}
	}
}

func TestEndOfAuditIsADifferenceThatTakesAway(t *testing.T) {
	a, err := Parse(audited)
	if err != nil {
		t.Fatal(err)
	}
	b := clone(t, a)
	addr := netip.MustParseAddr("10.0.0.1")
	b.Local[addr] = Local{Ingress: 0xc2}
	delete(b.Classes, 0xc1)
	d := Compare(a, b)
	if !d.Scope().Contains(b, netip.MustParseAddr("10.0.0.9"), addr) {
		t.Error("its connections are not looked at")
	}
	d.Apply(a)
	if Text(a) != Text(b) {
		t.Errorf("applied it gives\n%s", Text(a))
	}
}

func TestParseRefusesOtherWordsBehindAClass(t *testing.T) {
	if _, err := Parse("plan n\nclass 000000c1 ingress default deny audits\n"); err == nil {
		t.Error("no error")
	}
}
