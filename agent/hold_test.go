package agent

import (
	"context"
	"net/netip"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/dataplane/nft"
)

func prefixes(texts ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, t := range texts {
		all = append(all, netip.MustParsePrefix(t))
	}
	return all
}

func node(name string, podCIDRs ...string) map[string]*cluster.Node {
	return map[string]*cluster.Node{name: {Name: name, PodCIDRs: prefixes(podCIDRs...)}}
}

func TestWhatIsHeld(t *testing.T) {
	for _, row := range []struct {
		why   string
		hold  Hold
		audit bool
		nodes map[string]*cluster.Node
		want  string
		from  string
	}{
		{"the node's own ranges", Hold{}, false, node("n1", "10.0.1.0/24", "fd00:1::/64"), "10.0.1.0/24 fd00:1::/64", "podCIDRs"},
		{"those of the command line", Hold{PodCIDRs: prefixes("10.9.0.0/16")}, false, node("n1", "10.0.1.0/24"), "10.9.0.0/16", "--pod-cidr"},
		{"those of the command line, without a node", Hold{PodCIDRs: prefixes("10.9.0.0/16")}, false, nil, "10.9.0.0/16", "--pod-cidr"},
		{"nothing", Hold{Off: true, PodCIDRs: prefixes("10.9.0.0/16")}, false, node("n1", "10.0.1.0/24"), "", "--hold off"},
		{"nothing in an audit", Hold{}, true, node("n1", "10.0.1.0/24"), "", "audit"},
		{"nothing that nobody names", Hold{}, false, node("n1"), "", "no spec.podCIDRs"},
		{"nothing of another node", Hold{}, false, node("n2", "10.0.2.0/24"), "", "no spec.podCIDRs"},
	} {
		t.Run(row.why, func(t *testing.T) {
			l := startWith(t, func(o *Options) { o.Hold, o.Audit = row.hold, row.audit })
			p := l.told(t, Batch{Nodes: row.nodes, Policies: denyAll("deny")})
			want := strings.Fields(row.want)
			if len(p.Held) != len(want) {
				t.Errorf("%d ranges are held, want %d", len(p.Held), len(want))
			}
			until(t, "readiness", l.Ready)
			status, err := l.Status(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, r := range status.Held.Ranges {
				got = append(got, r.String())
			}
			if strings.Join(got, " ") != row.want || !strings.Contains(status.Held.From, row.from) {
				t.Errorf("status says %+v", status.Held)
			}
		})
	}
}

func TestHeldFollowsTheNode(t *testing.T) {
	l := start(t)
	l.told(t, Batch{Policies: denyAll("deny")})
	p := l.told(t, Batch{Nodes: node("n1", "10.0.1.0/24"), Pods: pods(pod("n1", "web", "10.0.1.9"))})
	if len(p.Held) != 1 || len(p.Known) != 1 {
		t.Errorf("held %v, known %v", p.Held, p.Known)
	}
	if p = l.told(t, Batch{Nodes: map[string]*cluster.Node{"n1": nil}}); len(p.Held) != 0 {
		t.Errorf("held %v after the node is gone", p.Held)
	}
}

// holder is a dataplane that says it held and stopped packets.
type holder struct {
	*memory
	packets uint64
}

func (c *holder) Held(context.Context) (nft.Denied, error) {
	return nft.Denied{Packets: c.packets}, nil
}

func (c *holder) Sources(context.Context) (nft.Sources, error) {
	return nft.Sources{Spoofed: nft.Denied{Packets: 2 * c.packets}, Bridges: []string{"cni0"}}, nil
}

// A table that is made anew counts from zero; a sum does not fall.
func TestStoppedPacketsAddUp(t *testing.T) {
	c := &holder{memory: newMemory()}
	l := startWith(t, func(o *Options) { o.Dataplane = c })
	for _, step := range []struct {
		kernel uint64
		want   float64
	}{{5, 5}, {7, 7}, {2, 9}, {2, 9}, {3, 10}} {
		c.packets = step.kernel
		if got := testutil.ToFloat64(heldCollector{l.Agent}); got != step.want {
			t.Errorf("the kernel says %d: sum %v, want %v", step.kernel, got, step.want)
		}
		if got := testutil.ToFloat64(spoofedCollector{l.Agent}); got != 2*step.want {
			t.Errorf("the kernel says %d spoofed: sum %v, want %v", 2*step.kernel, got, 2*step.want)
		}
	}
}

// Where nobody names ranges the routes do, as long as nobody does.
func TestRoutesToPodsAreHeld(t *testing.T) {
	told := make(chan []netip.Prefix)
	l := startWith(t, func(o *Options) {
		o.Hold.Routes = func(ctx context.Context, tell func([]netip.Prefix)) error {
			for {
				select {
				case p := <-told:
					tell(p)
				case <-ctx.Done():
					return ctx.Err()
				}
			}
		}
	})
	l.told(t, Batch{Nodes: node("n1"), Policies: denyAll("deny")})
	told <- prefixes("10.9.0.7/32", "10.9.0.8/32")
	if p := l.plan(t); len(p.Held) != 2 {
		t.Errorf("held %v, want two addresses", p.Held)
	}
	if p := l.told(t, Batch{Pods: pods(pod("n1", "web", "10.9.0.7"))}); len(p.Known) != 1 {
		t.Errorf("known %v, want one address", p.Known)
	}
	until(t, "readiness", l.Ready)
	if s, err := l.Status(t.Context()); err != nil || !s.Held.Routed {
		t.Errorf("status says %+v (%v)", s.Held, err)
	}
	if p := l.told(t, Batch{Nodes: node("n1", "10.0.1.0/24")}); len(p.Held) != 1 {
		t.Errorf("held %v, want the node's range", p.Held)
	}
	told <- prefixes("10.9.0.7/32")
	if p := l.told(t, Batch{Nodes: node("n1")}); len(p.Held) != 1 || p.Holds(netip.MustParseAddr("10.0.1.5")) {
		t.Errorf("held %v, want the route that is left", p.Held)
	}
}
