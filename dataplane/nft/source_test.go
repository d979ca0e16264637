package nft

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/dataplane/kerneltest"
	"github.com/bulkhead-dev/bulkhead/lab/network"
	"github.com/bulkhead-dev/bulkhead/plan"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// take gives a pod more addresses, which nobody else knows of.
func take(t *testing.T, w *kerneltest.World, pod string, addrs ...netip.Addr) {
	t.Helper()
	for _, addr := range addrs {
		noDAD := ""
		if addr.Is6() {
			noDAD = " nodad"
		}
		sh(t, w, pod, podLink+"; ip address add "+netip.PrefixFrom(addr, addr.BitLen()).String()+" dev $dev"+noDAD)
	}
}

// spoofed are packets that an isolated pod sends from addresses not its own.
func spoofed(w *kerneltest.World) map[string]netip.Addr {
	return map[string]netip.Addr{
		"a pod of another node": w.V4("c"), "a machine outside": w.V4(kerneltest.Outside), "nobody": netip.MustParseAddr("192.0.2.77"),
		"a pod of another node, IPv6": w.V6("c"), "nobody, IPv6": netip.MustParseAddr("2001:db8::77"),
	}
}

// TestPodsDoNotSpoof: pod a may do nothing, and so may nobody in its name. It
// takes other addresses, which no policy isolates, and sends from them.
func TestPodsDoNotSpoof(t *testing.T) {
	eachMode(t, func(t *testing.T, w *kerneltest.World) {
		d := open(t, w.Place("one"), Options{})
		apply(t, d, w.Isolated(t))
		prober := kerneltest.NewProber(t, w, stopped(t, d))
		for i, own := range w.Both("a") { // finds the way out, which other addresses use
			prober.Send("a", kerneltest.NodeTwo, plan.Packet{From: own, To: w.Both(kerneltest.NodeTwo)[i], Protocol: traffic.UDP, Port: 80})
		}
		for whose, addr := range spoofed(w) {
			take(t, w, "a", addr)
			to := w.V4(kerneltest.NodeTwo)
			if addr.Is6() {
				to = w.V6(kerneltest.NodeTwo)
			}
			for _, protocol := range []traffic.Protocol{traffic.TCP, traffic.UDP, traffic.SCTP} {
				packet := plan.Packet{From: addr, To: to, Protocol: protocol, Port: 80}
				if got := prober.Send("a", kerneltest.NodeTwo, packet); got != traffic.Deny {
					t.Errorf("%s from the address of %s got through", protocol, whose)
				}
			}
		}
		s, err := d.Sources(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if want := uint64(3 * len(spoofed(w))); s.Spoofed.Packets != want {
			t.Errorf("%d packets counted, want %d", s.Spoofed.Packets, want)
		}
	})
}

// TestPodsOnLinksOfTheirOwnDoNotSpoofEachOther: where each pod has a link, not
// even the address of a pod of the same node helps.
func TestPodsOnLinksOfTheirOwnDoNotSpoofEachOther(t *testing.T) {
	w := kerneltest.NewWorld(t, network.Routed)
	d := open(t, w.Place("one"), Options{})
	p := w.Isolated(t)
	for _, addr := range w.Both("b") {
		delete(p.Local, addr) // b may do what it likes
	}
	apply(t, d, p)
	prober := kerneltest.NewProber(t, w, stopped(t, d))
	take(t, w, "a", w.Both("b")...)
	for i, from := range w.Both("b") {
		packet := plan.Packet{From: from, To: w.Both("c")[i], Protocol: traffic.UDP, Port: 53}
		if got := prober.Send("a", "c", packet); got != traffic.Deny {
			t.Errorf("a packet of pod a from %s got through", from)
		}
		if got := prober.Send("b", "c", packet); got != traffic.Allow {
			t.Errorf("a packet of pod b from its own address %s was stopped", from)
		}
	}
	if s, err := d.Sources(t.Context()); err != nil || len(s.Bridges) != 0 {
		t.Errorf("sources %+v (%v), want no bridge", s, err)
	}
}

// TestAConnectionOfAnotherIsNotSpoofed: a datagram with the ports of another's
// allowed connection is stopped too.
func TestAConnectionOfAnotherIsNotSpoofed(t *testing.T) {
	w := kerneltest.NewWorld(t, network.Routed)
	d := open(t, w.Place("one"), Options{})
	p := w.Isolated(t, "b egress c UDP 53")
	apply(t, d, p)
	before := stopped(t, d)
	w.Connect(t, before, traffic.UDP, "b", "c", dest(w.V4("c"), 53), 53).Passes()
	take(t, w, "a", w.V4("b"))
	prober := kerneltest.NewProber(t, w, before)
	packet := plan.Packet{From: w.V4("b"), To: w.V4("c"), Protocol: traffic.UDP, Port: 53}
	for range 2 { // the same ports: the second would belong to the first's connection
		if got := prober.Send("a", "c", packet); got != traffic.Deny {
			t.Error("a datagram of pod a from pod b's address got through")
		}
	}
}

// TestLinkLocalIsNoWayAround: every link has an IPv6 address that no policy
// knows. Pods cannot use theirs to reach each other or the node.
func TestLinkLocalIsNoWayAround(t *testing.T) {
	eachMode(t, func(t *testing.T, w *kerneltest.World) {
		d := open(t, w.Place("one"), Options{})
		var reached []string
		for _, to := range append(linkLocals(t, w, "one"), linkLocals(t, w, "b")...) {
			if !slices.Contains(linkLocals(t, w, "a"), to) && reaches(t, w, "a", to) {
				reached = append(reached, to)
			}
		}
		if len(reached) == 0 {
			t.Fatal("nobody is reached before anything is enforced: the test says nothing")
		}
		p := w.Isolated(t)
		for _, pod := range []string{"a", "b"} {
			delete(p.Local, w.V6(pod)) // the cluster is IPv4 only
		}
		apply(t, d, p)
		stops := stopped(t, d)
		before := stops()
		for _, to := range reached {
			if reaches(t, w, "a", to) {
				t.Errorf("%s is reached", to)
			}
		}
		if stops() == before {
			t.Error("nothing was stopped")
		}
	})
}

// linkLocals are the link-local addresses of a place.
func linkLocals(t *testing.T, w *kerneltest.World, place string) []string {
	t.Helper()
	var found []string
	err := w.Place(place).Do(func() error {
		all, err := net.InterfaceAddrs()
		for _, a := range all {
			if ip := a.(*net.IPNet).IP; ip.To4() == nil && ip.IsLinkLocalUnicast() {
				found = append(found, ip.String())
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// reaches tells whether a pod gets an answer over its link, if only that nobody
// listens.
func reaches(t *testing.T, w *kerneltest.World, pod, to string) bool {
	t.Helper()
	var answer error
	err := w.Place(pod).Do(func() error {
		links, err := net.Interfaces()
		for _, l := range links {
			if l.Flags&net.FlagLoopback == 0 && l.Flags&net.FlagUp != 0 {
				_, answer = net.DialTimeout("tcp6", "["+to+"%"+l.Name+"]:9", noAnswer)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return errors.Is(answer, unix.ECONNREFUSED)
}

// noAnswer is how long an answer on the same machine may take before there is
// none.
const noAnswer = time.Second

// podLink puts the name of a pod's link into a variable of the shell.
const podLink = `dev=$(ip -o link show type veth | head -1 | sed 's/^[0-9]*: //; s/[@:].*//')`

// TestAnySource: who wants pods that forward for others turns the check off.
func TestAnySource(t *testing.T) {
	w := kerneltest.NewWorld(t, network.Routed)
	d := open(t, w.Place("one"), Options{AnySource: true})
	apply(t, d, plan.New(kerneltest.NodeOne))
	prober := kerneltest.NewProber(t, w, stopped(t, d))
	from := netip.MustParseAddr("192.0.2.77")
	take(t, w, "a", from)
	packet := plan.Packet{From: from, To: w.V4(kerneltest.NodeTwo), Protocol: traffic.UDP, Port: 53}
	if got := prober.Send("a", kerneltest.NodeTwo, packet); got != traffic.Allow {
		t.Error("stopped")
	}
}

// stopped is how many packets a dataplane denied or held, or stopped because of
// where they came from.
func stopped(t *testing.T, d *Dataplane) func() uint64 {
	denied := counted(t, d)
	return func() uint64 {
		s, err := d.Sources(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		return denied() + s.Spoofed.Packets
	}
}
