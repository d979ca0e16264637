package nft

import (
	"context"
	"maps"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/bulkhead-dev/bulkhead/dataplane/kerneltest"
	"github.com/bulkhead-dev/bulkhead/plan"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// uplink is the device of a node that leads out in kerneltest's worlds.
const uplink = "eth0"

// doors adds random doors to a plan, in which the node's own addresses are nodes
// and its pods' are own.
func (c *chooser) doors(p *plan.Plan, nodes, own []netip.Addr) {
	ids := slices.Sorted(maps.Keys(p.Classes))
	next := ids[len(ids)-1]
	class := func(d traffic.Direction, grants bool) plan.ClassID {
		if c.IntN(3) == 0 {
			return 0
		}
		next++
		p.Classes[next] = c.class(d)
		p.Classes[next].Grants, p.Classes[next].Audit = grants, !grants && p.Classes[next].Audit
		return next
	}
	for range 1 + c.IntN(4) {
		d := plan.Door{Device: one(c, []string{uplink, plan.AllDevices, ""})}
		if c.IntN(2) == 0 {
			d.Addr = one(c, nodes)
		}
		h := plan.Host{Input: class(traffic.Ingress, false), Output: class(traffic.Egress, false)}
		if !d.Addr.IsValid() {
			h.Enter, h.Leave = class(traffic.Ingress, false), class(traffic.Egress, false)
		}
		if c.IntN(2) == 0 {
			h.RefuseIn, h.GrantIn = class(traffic.Ingress, false), class(traffic.Ingress, true)
			h.RefuseOut, h.GrantOut = class(traffic.Egress, false), class(traffic.Egress, true)
		}
		p.Hosts[d] = h
	}
	for _, addr := range own {
		p.Own[netip.PrefixFrom(addr, addr.BitLen())] = struct{}{}
	}
	for _, addr := range c.addrs {
		if c.IntN(8) == 0 {
			p.Keep[netip.AddrPortFrom(addr, one(c, testPorts))] = struct{}{}
		}
	}
}

// TestRandomDoorsJudgePackets compares the kernel with plan.Trace on connections
// of the node itself, and on those that it passes on.
func TestRandomDoorsJudgePackets(t *testing.T) {
	eachMode(t, func(t *testing.T, w *kerneltest.World) {
		ctx := context.Background()
		d := open(t, w.Place(kerneltest.NodeOne), Options{})
		prober := kerneltest.NewProber(t, w, counted(t, d))
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		c := &chooser{Rand: rand.New(rand.NewPCG(seed, 0)), from4: w.V4("a").Prev().Prev(), from6: w.V6("a").Prev()}
		places := []string{"a", "b", "c", kerneltest.Outside, kerneltest.NodeOne, kerneltest.NodeTwo}
		for _, place := range places {
			c.addrs = append(c.addrs, w.Both(place)...)
		}
		c.locals = append(w.Both("a"), w.Both("b")...)
		verdicts := map[traffic.Verdict]int{}
		for range 30 {
			p := c.plan()
			p.Held, p.Known = map[plan.Range]struct{}{}, map[netip.Addr]struct{}{}
			if c.IntN(2) == 0 {
				clear(p.Local)
			}
			c.doors(p, w.Both(kerneltest.NodeOne), c.locals)
			if err := d.Apply(ctx, p); err != nil {
				t.Fatal(err)
			}
			wantLive(t, d, p)
			for range 40 {
				from, to, packet := c.hostPacket(w, places)
				want := p.Trace(packet)
				if want.Inspects() {
					continue
				}
				if got := prober.Send(from, to, packet); got != want {
					t.Fatalf("%s to %s, %+v: the kernel says %s, the plan %s\n%s", from, to, packet, got, want, plan.Text(p))
				}
				verdicts[want]++
			}
		}
		t.Logf("%v", verdicts)
	})
}

// hostPacket is one that node one sees; half of them have it at one end.
func (c *chooser) hostPacket(w *kerneltest.World, places []string) (from, to string, packet plan.Packet) {
	from, to, packet = c.packet(w, places)
	for c.IntN(2) == 0 && from != kerneltest.NodeOne && to != kerneltest.NodeOne {
		from, to, packet = c.packet(w, places)
	}
	if c.IntN(3) == 0 {
		// Between the node and others than its pods.
		other := one(c, []string{"c", kerneltest.Outside, kerneltest.NodeTwo})
		from, to = kerneltest.NodeOne, other
		if c.IntN(2) == 0 {
			from, to = to, from
		}
		six := packet.From.Is6()
		packet.From, packet.To = w.V4(from), w.V4(to)
		if six {
			packet.From, packet.To = w.V6(from), w.V6(to)
		}
	}
	packet.FromNode, packet.ToNode = from == kerneltest.NodeOne, to == kerneltest.NodeOne
	local := func(place string) bool { return place == "a" || place == "b" || place == kerneltest.NodeOne }
	if !local(from) {
		packet.In = uplink
	}
	if !local(to) {
		packet.Out = uplink
	}
	return from, to, packet
}

// TestUpdateOfDoors walks from one random plan with doors to the next, and to such
// without.
func TestUpdateOfDoors(t *testing.T) {
	ctx := context.Background()
	c := newChooser(t)
	c.audits = false
	s := newSpace(t)
	d := open(t, s, Options{ResetTCP: true, Proxy: someProxy})
	now := plan.New("one")
	if err := d.Apply(ctx, now); err != nil {
		t.Fatal(err)
	}
	bare := chains(list(t, s, "list", "ruleset"))
	updates := 0
	for range 60 {
		next := c.plan()
		if c.IntN(4) > 0 {
			c.doors(next, c.addrs[:3], c.locals)
		}
		diff := plan.Compare(now, next)
		if err := d.Update(ctx, diff, next); err == nil {
			updates++
		} else if err := d.Apply(ctx, next); err != nil {
			t.Fatal(err)
		}
		now = next
		wantLive(t, d, now)
		list(t, s, "list", "ruleset")
	}
	if updates < 10 {
		t.Errorf("only %d of 60 changes could be made by elements", updates)
	}
	if err := d.Apply(ctx, plan.New("one")); err != nil {
		t.Fatal(err)
	}
	if left := chains(list(t, s, "list", "ruleset")); !reflect.DeepEqual(left, bare) {
		t.Errorf("without doors there are chains %v, want %v", left, bare)
	}
}

func chains(ruleset string) []string {
	var names []string
	for line := range strings.Lines(ruleset) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "chain "); ok {
			names = append(names, name)
		}
	}
	return names
}

// The listing of what policies on hosts make is what an administrator reads.
func TestListOfDoors(t *testing.T) {
	p := plan.New("one")
	p.Hosts[plan.Door{Device: uplink}] = plan.Host{Input: 1, GrantIn: 2}
	p.Own[netip.MustParsePrefix("10.1.0.0/24")] = struct{}{}
	p.Keep[netip.MustParseAddrPort("10.96.0.1:443")] = struct{}{}
	p.Classes[1] = &plan.Class{Direction: traffic.Ingress, Policies: []string{"kubelet"}}
	p.Classes[2] = &plan.Class{Direction: traffic.Ingress, Policies: []string{"ports"}, Grants: true}
	s := newSpace(t)
	if err := open(t, s, Options{}).Apply(context.Background(), p); err != nil {
		t.Fatal(err)
	}
	text := list(t, s, "list", "ruleset")
	for _, want := range []string{
		`type filter hook input priority -90`, `type filter hook forward priority -90`, `type filter hook output priority -80`,
		`type filter hook prerouting priority mangle`,
		`iifname "eth0" goto ingress_00000001`, `ct original ip daddr 10.96.0.1 ct original proto-dst 443 ct direction original ct label set 122 accept`,
		`comment "host eth0 any input 00000001"`, `comment "keep 10.96.0.1:443"`, `10.1.0.0/24`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the listing lacks %s", want)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
}
