package nft

import (
	"context"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/bulkhead-dev/bulkhead/lab/space"
)

func problems(t *testing.T, d *Dataplane) string {
	t.Helper()
	found, err := d.Check(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, p := range found {
		lines = append(lines, p.String())
	}
	return strings.Join(lines, "\n")
}

var someProxy = Proxy{HTTP: 8081, DNS: 8053, Divert: 1 << 13, Own: 1 << 12}

func TestCheckFindsNothing(t *testing.T) {
	for _, options := range []Options{{}, {ResetTCP: true}, {Proxy: someProxy}} {
		s := newSpace(t)
		d := open(t, s, options)
		if got := problems(t, d); got != "" {
			t.Errorf("%+v: %s", options, got)
		}
		if got := list(t, s, "list", "ruleset"); got != "" {
			t.Errorf("the check left behind:\n%s", got)
		}
	}
}

// TestEachFeatureCanBeTried: a try that always fails would blame every kernel.
func TestEachFeatureCanBeTried(t *testing.T) {
	d := open(t, newSpace(t), Options{ResetTCP: true, Proxy: someProxy})
	for _, f := range d.features() {
		r := newRuleset()
		if err := f.add(r); err != nil {
			t.Fatal(err)
		}
		if err := d.try(context.Background(), r); err != nil {
			t.Errorf("%s: %v", f.what, err)
		}
	}
	r := newRuleset()
	if err := r.addChain("c", "", hook{}, text{exprs: jump("nowhere")}); err != nil {
		t.Fatal(err)
	}
	if err := d.try(context.Background(), r); err == nil {
		t.Error("the kernel took a jump to a chain that is not there")
	}
}

func TestCheckFindsUnfilteredBridge(t *testing.T) {
	s := newSpace(t)
	d := open(t, s, Options{})
	links, err := s.Netlink()
	if err != nil {
		t.Fatal(err)
	}
	defer links.Close()
	attrs := func(name string) netlink.LinkAttrs {
		a := netlink.NewLinkAttrs()
		a.Name = name
		return a
	}
	bridge := &netlink.Bridge{LinkAttrs: attrs("cni0")}
	if err := links.LinkAdd(bridge); err != nil {
		t.Fatal(err)
	}
	off := []space.Sysctl{{Path: "bridge/bridge-nf-call-iptables", Value: "0"}, {Path: "bridge/bridge-nf-call-ip6tables", Value: "0"}}
	if err := s.Set(off...); err != nil {
		t.Fatal(err)
	}
	if got := problems(t, d); got != "" {
		t.Errorf("a bridge without ports: %s", got)
	}
	port := &netlink.Veth{LinkAttrs: attrs("port"), PeerName: "peer"}
	port.MasterIndex = bridge.Index
	if err := links.LinkAdd(port); err != nil {
		t.Fatal(err)
	}
	got := problems(t, d)
	for _, want := range []string{"bridge: ", "cni0", "net.bridge.bridge-nf-call-iptables=1", "net.bridge.bridge-nf-call-ip6tables=1"} {
		if !strings.Contains(got, want) {
			t.Errorf("problems do not say %q:\n%s", want, got)
		}
	}
	for i := range off {
		off[i].Value = "1"
	}
	if err := s.Set(off...); err != nil {
		t.Fatal(err)
	}
	if got := problems(t, d); got != "" {
		t.Errorf("a filtered bridge: %s", got)
	}
}

func TestOlder(t *testing.T) {
	for release, want := range map[string]bool{
		"5.10.0-28-amd64": false, "5.9.16": true, "5.4.0-150-generic": true, "4.19.0": true,
		"5.15.0": false, "6.1.0": false, "10.0": false, "unknown": false,
	} {
		if got := older(release, 5, 10); got != want {
			t.Errorf("older(%q, 5, 10) = %t, want %t", release, got, want)
		}
	}
}
