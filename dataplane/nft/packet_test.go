package nft

import (
	"context"
	"math/rand/v2"
	"testing"

	"github.com/bulkhead-dev/bulkhead/dataplane/kerneltest"
	"github.com/bulkhead-dev/bulkhead/lab/network"
	"github.com/bulkhead-dev/bulkhead/plan"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// eachMode runs a test with real packets in both pod networks.
func eachMode(t *testing.T, test func(*testing.T, *kerneltest.World)) {
	for _, mode := range []network.Mode{network.Routed, network.Bridged} {
		t.Run(mode.String(), func(t *testing.T) { test(t, kerneltest.NewWorld(t, mode)) })
	}
}

// counted is how many packets a dataplane denied so far.
func counted(t *testing.T, d *Dataplane) func() uint64 {
	return func() uint64 {
		all, err := d.Denied(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		held, err := d.Held(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		sum := held.Packets
		for _, n := range all {
			sum += n.Packets
		}
		return sum
	}
}

// TestRandomPlansJudgePackets compares the kernel with plan.Trace, packet by
// packet.
func TestRandomPlansJudgePackets(t *testing.T) {
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
		for range 25 {
			p := c.plan()
			if err := d.Apply(ctx, p); err != nil {
				t.Fatal(err)
			}
			for range 50 {
				from, to, packet := c.packet(w, places)
				want := p.Trace(packet)
				if got := prober.Send(from, to, packet); got != want {
					t.Fatalf("%s to %s, %+v: the kernel says %s, the plan %s\n%s", from, to, packet, got, want, plan.Text(p))
				}
				verdicts[want]++
			}
		}
		t.Logf("%v", verdicts)
	})
}

// packet is one between two places, of which one is a pod of node one.
func (c *chooser) packet(w *kerneltest.World, places []string) (from, to string, packet plan.Packet) {
	for {
		from, to = one(c, places), one(c, places)
		if from != to && (from <= "b" || to <= "b") {
			break
		}
	}
	packet = plan.Packet{Protocol: one(c, testProtocols), FromNode: from == kerneltest.NodeOne, ToNode: to == kerneltest.NodeOne}
	packet.From, packet.To = w.V4(from), w.V4(to)
	if packet.Protocol == traffic.ICMPv6 || packet.Protocol != traffic.ICMP && c.IntN(2) == 0 {
		packet.From, packet.To = w.V6(from), w.V6(to)
	}
	if packet.Protocol.HasTypes() {
		packet.Port = echoRequest(packet.Protocol, one(c, []uint8{0, 1, 2, 255}))
	}
	if packet.Protocol.HasPorts() {
		packet.Port = one(c, testPorts)
		if c.IntN(2) == 0 {
			packet.Port = max(packet.Port-1, 1) // next to a row
		}
	}
	return from, to, packet
}

// echoRequest is what stands for the port of a ping with a code.
func echoRequest(p traffic.Protocol, code uint8) uint16 {
	if p == traffic.ICMPv6 {
		return traffic.ICMPPort(128, code)
	}
	return traffic.ICMPPort(8, code)
}
