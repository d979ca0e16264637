package nft

import (
	"context"
	"net/netip"
	"os/exec"
	"reflect"
	"testing"

	"github.com/bulkhead-dev/bulkhead/lab/space"
	"github.com/bulkhead-dev/bulkhead/plan"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

func newSpace(t testing.TB) *space.Space {
	t.Helper()
	s, err := space.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func open(t testing.TB, s *space.Space, options Options) *Dataplane {
	t.Helper()
	options.NetNS = s.FD()
	d, err := New(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// list runs the nft command in a namespace; it may not complain.
func list(t *testing.T, s *space.Space, args ...string) string {
	t.Helper()
	var out []byte
	err := s.Do(func() error {
		var err error
		out, err = exec.Command("nft", args...).CombinedOutput()
		return err
	})
	if err != nil {
		t.Fatalf("nft %v: %v\n%s", args, err, out)
	}
	return string(out)
}

func smallPlan() *plan.Plan {
	p := plan.New("one")
	a, b, c := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("fd00::3")
	c4, b6 := netip.MustParseAddr("10.0.0.7"), netip.MustParseAddr("fd00::2")
	p.Peers[1] = []string{"pods {app=web}"}
	p.Peers[2] = []string{"net 0.0.0.0/0"}
	p.Wider[1] = 2
	p.Addrs[a], p.Addrs[c] = 1, 1
	p.Ranges[plan.Range{First: netip.MustParseAddr("10.0.0.0"), Last: netip.MustParseAddr("10.0.0.255")}] = 2
	p.Ranges[plan.Range{First: netip.MustParseAddr("10.0.1.0"), Last: netip.MustParseAddr("255.255.255.255")}] = 1
	p.Ranges[plan.Range{First: netip.MustParseAddr("fd00::"), Last: netip.MustParseAddr("fd00::ffff")}] = 2
	p.Held[plan.Range{First: a, Last: c4}] = struct{}{}
	p.Held[plan.Range{First: b6, Last: b6}] = struct{}{}
	p.Known[b], p.Known[c] = struct{}{}, struct{}{}
	p.Local[b] = plan.Local{Egress: 7, Ingress: 8}
	p.Local[c] = plan.Local{Ingress: 8}
	p.Classes[7] = &plan.Class{Direction: traffic.Egress, Default: traffic.Allow, Policies: []string{"x/out"}, Rows: map[plan.Row]traffic.Verdict{
		{Peer: 1, Protocol: traffic.TCP, From: 80, To: 80}: traffic.Deny,
	}}
	p.Classes[8] = &plan.Class{Direction: traffic.Ingress, Default: traffic.Deny, Policies: []string{"x/in", "x/more"}, Rows: map[plan.Row]traffic.Verdict{
		{Peer: 1, Protocol: traffic.TCP, From: 80, To: 80}:    traffic.Allow,
		{Peer: 1, Protocol: traffic.UDP, From: 80, To: 90}:    traffic.Allow,
		{Peer: 1, Protocol: traffic.SCTP, From: 0, To: 65535}: traffic.Allow,
		{Peer: 2}: traffic.Deny,
		{Peer: 2, Protocol: traffic.TCP, From: 81, To: 81}:          traffic.InspectHTTP,
		{Peer: 2, Protocol: traffic.UDP, From: 53, To: 53}:          traffic.InspectDNS,
		{AnyPeer: true, Protocol: traffic.TCP, From: 1, To: 1}:      traffic.Allow,
		{AnyPeer: true, Protocol: traffic.TCP, From: 8, To: 9}:      traffic.InspectHTTP,
		{AnyPeer: true, Protocol: traffic.TCP, From: 5, To: 7}:      traffic.Deny,
		{AnyPeer: true, Protocol: traffic.ICMP, From: 0, To: 65535}: traffic.Allow,
		{AnyPeer: true}: traffic.Deny,
	}}
	return p
}

func TestApply(t *testing.T) {
	ctx := context.Background()
	s := newSpace(t)
	d := open(t, s, Options{ResetTCP: true, Proxy: someProxy})
	want := smallPlan()
	for range 2 {
		if err := d.Apply(ctx, want); err != nil {
			t.Fatal(err)
		}
		t.Log(list(t, s, "list", "ruleset"))
		list(t, s, "-j", "list", "ruleset")
		got, err := d.Live(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("live plan:\n%v\nwant:\n%v", got, want)
		}
	}
}
