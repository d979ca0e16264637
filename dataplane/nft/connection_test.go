package nft

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/dataplane/kerneltest"
	"github.com/bulkhead-dev/bulkhead/plan"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

func apply(t testing.TB, d *Dataplane, p *plan.Plan) {
	t.Helper()
	if err := d.Apply(context.Background(), p); err != nil {
		t.Fatal(err)
	}
}

func dest(addr netip.Addr, port uint16) netip.AddrPort { return netip.AddrPortFrom(addr, port) }

// sh runs nft or ip commands in a place.
func sh(t *testing.T, w *kerneltest.World, place, script string) {
	t.Helper()
	err := w.Place(place).Do(func() error {
		out, err := exec.Command("sh", "-ec", script).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

var streams = []traffic.Protocol{traffic.TCP, traffic.UDP}

func TestRepliesPass(t *testing.T) {
	eachMode(t, func(t *testing.T, w *kerneltest.World) {
		d := open(t, w.Place("one"), Options{})
		apply(t, d, w.Isolated(t,
			"a egress b TCP 8080", "b ingress a TCP 8080", "a egress c UDP 53", "b ingress c TCP 8081", "b ingress outside UDP 5000"))
		denied := counted(t, d)
		for i := range 2 { // both families
			w.Connect(t, denied, traffic.TCP, "a", "b", dest(w.Both("b")[i], 8080), 8080).Passes()
			w.Connect(t, denied, traffic.UDP, "a", "c", dest(w.Both("c")[i], 53), 53).Passes()
			w.Connect(t, denied, traffic.TCP, "c", "b", dest(w.Both("b")[i], 8081), 8081).Passes()
			w.Connect(t, denied, traffic.UDP, "outside", "b", dest(w.Both("b")[i], 5000), 5000).Passes()
		}
		if n := denied(); n != 0 {
			t.Errorf("%d packets were denied", n)
		}
	})
}

func TestResets(t *testing.T) {
	eachMode(t, func(t *testing.T, w *kerneltest.World) {
		d := open(t, w.Place("one"), Options{ResetTCP: true})
		apply(t, d, w.Isolated(t, "a egress c TCP 80"))
		for i := range 2 {
			for _, to := range []netip.AddrPort{dest(w.Both("b")[i], 8080), dest(w.Both("c")[i], 81), dest(w.Both("one")[i], 22)} {
				if _, err := w.DialTCP("a", to); !errors.Is(err, unix.ECONNREFUSED) {
					t.Errorf("a to %s: %v, want a reset", to, err)
				}
			}
			if _, err := w.DialTCP("c", dest(w.Both("b")[i], 8080)); !errors.Is(err, unix.ECONNREFUSED) {
				t.Errorf("c to b: %v, want a reset", err)
			}
		}
	})
}

const serviceTable = `nft -f - <<E
table inet services {
	chain prerouting {
		type nat hook prerouting priority dstnat
		ip daddr 10.96.0.1 tcp dport 80 dnat ip to %s:8080
		ip6 daddr fd00:96::1 tcp dport 80 dnat ip6 to [%s]:8080
	}
	chain postrouting {
		type nat hook postrouting priority srcnat
		%s
	}
}
E`

var services = []netip.Addr{netip.MustParseAddr("10.96.0.1"), netip.MustParseAddr("fd00:96::1")}

// TestServices: a service's address is not what is judged, but the pod behind.
func TestServices(t *testing.T) {
	eachMode(t, func(t *testing.T, w *kerneltest.World) {
		sh(t, w, "one", fmt.Sprintf(serviceTable, w.V4("c"), w.V6("c"), ""))
		d := open(t, w.Place("one"), Options{})
		denied := counted(t, d)
		prober := kerneltest.NewProber(t, w, denied)
		apply(t, d, w.Isolated(t, "a egress c TCP 8080"))
		for i := range 2 {
			w.Connect(t, denied, traffic.TCP, "a", "c", dest(services[i], 80), 8080).Passes()
			packet := plan.Packet{From: w.Both("b")[i], To: services[i], Protocol: traffic.TCP, Port: 80}
			if got := prober.Send("b", "c", packet); got != traffic.Deny {
				t.Errorf("b to the service: %s, want deny", got)
			}
		}
	})
}

// TestMasquerade: the source is translated behind us, and replies are translated
// back before us.
func TestMasquerade(t *testing.T) {
	eachMode(t, func(t *testing.T, w *kerneltest.World) {
		sh(t, w, "one", fmt.Sprintf(serviceTable, w.V4("c"), w.V6("c"), "masquerade"))
		d := open(t, w.Place("one"), Options{ResetTCP: true})
		denied := counted(t, d)
		apply(t, d, w.Isolated(t, "a egress outside UDP 53", "a egress c TCP 8080", "b ingress c TCP 8080"))
		for i := range 2 {
			w.Connect(t, denied, traffic.UDP, "a", "outside", dest(w.Both("outside")[i], 53), 53).Passes()
			w.Connect(t, denied, traffic.TCP, "a", "c", dest(services[i], 80), 8080).Passes()
			w.Connect(t, denied, traffic.TCP, "c", "b", dest(w.Both("b")[i], 8080), 8080).Passes()
		}
		if n := denied(); n != 0 {
			t.Errorf("%d packets were denied", n)
		}
	})
}

// TestHairpin: a pod may reach itself through a service, with all else denied.
func TestHairpin(t *testing.T) {
	eachMode(t, func(t *testing.T, w *kerneltest.World) {
		masquerade := fmt.Sprintf("ip saddr %[1]s ip daddr %[1]s masquerade; ip6 saddr %[2]s ip6 daddr %[2]s masquerade", w.V4("a"), w.V6("a"))
		sh(t, w, "one", fmt.Sprintf(serviceTable, w.V4("a"), w.V6("a"), masquerade))
		d := open(t, w.Place("one"), Options{})
		apply(t, d, w.Isolated(t))
		for i := range 2 {
			w.Connect(t, counted(t, d), traffic.TCP, "a", "a", dest(services[i], 80), 8080).Passes()
		}
	})
}

// TestNodeReachesItsPods: and they do not reach it, nor does another node.
func TestNodeReachesItsPods(t *testing.T) {
	eachMode(t, func(t *testing.T, w *kerneltest.World) {
		d := open(t, w.Place("one"), Options{ResetTCP: true})
		denied := counted(t, d)
		apply(t, d, w.Isolated(t, "a egress one TCP 22"))
		for i := range 2 {
			for _, protocol := range streams {
				w.Connect(t, denied, protocol, "one", "a", dest(w.Both("a")[i], 8080), 8080).Passes()
			}
			w.Connect(t, denied, traffic.TCP, "a", "one", dest(w.Both("one")[i], 22), 22).Passes()
			for _, to := range []struct {
				from string
				dest netip.AddrPort
			}{{"two", dest(w.Both("a")[i], 8080)}, {"a", dest(w.Both("one")[i], 23)}, {"b", dest(w.Both("one")[i], 22)}} {
				if _, err := w.DialTCP(to.from, to.dest); !errors.Is(err, unix.ECONNREFUSED) {
					t.Errorf("%s to %s: %v, want a reset", to.from, to.dest, err)
				}
			}
		}
	})
}

// TestErrorsPass: a closed port's ICMP error comes back to who asked, though the
// pod may receive nothing.
func TestErrorsPass(t *testing.T) {
	eachMode(t, func(t *testing.T, w *kerneltest.World) {
		d := open(t, w.Place("one"), Options{})
		apply(t, d, w.Isolated(t, "a egress c UDP 9", "a egress b UDP 9", "b ingress a UDP 9"))
		for _, to := range []string{"b", "c"} {
			for _, addr := range w.Both(to) {
				if err := refused(w, "a", dest(addr, 9)); err != nil {
					t.Errorf("a to %s: %v", addr, err)
				}
			}
		}
	})
}
