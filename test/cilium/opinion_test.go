package cilium

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/internal/gen"
	"github.com/bulkhead-dev/bulkhead/traffic"
	"github.com/bulkhead-dev/bulkhead/verdict"
)

var (
	seed   = flag.Uint64("seed", 0, "where random worlds start; 0 chooses one")
	worlds = flag.Int("worlds", 2000, "how many random worlds")
)

func TestMain(m *testing.M) {
	flag.Parse()
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	fmt.Printf("random worlds start at -seed %d\n", *seed)
	os.Exit(m.Run())
}

// asked is a connection and the direction in which the pod's policies judge it.
type asked struct {
	verdict.Connection
	traffic.Direction
}

// Both opinions agree on every direction of every connection, but for what the
// package doc of policy/cilium names.
func TestBothAgree(t *testing.T) {
	questions, allowed := 0, 0
	for i := range *worlds {
		r := gen.Source(*seed, i)
		world := gen.New(r, gen.Shape{Nodes: 3, Namespaces: 3, Pods: 8})
		plainPorts(world.Snapshot)
		nodes := i%8 == 0
		objects := gen.Cilium(r, gen.Shape{Namespaces: 3, Policies: 6}, nodes)
		connections := questionsOf(gen.Connections(r, world.Endpoints(), 150))
		differing, yes, err := difference(world, objects, connections, nodes)
		if err != nil {
			t.Fatalf("-seed %d, world %d: %v\n%s", *seed, i, err, text(objects))
		}
		questions, allowed = questions+len(connections), allowed+yes
		if differing != nil {
			t.Fatalf("-seed %d, world %d: %s", *seed, i, report(world, objects, *differing, nodes))
		}
	}
	if allowed < questions/10 || allowed > questions*9/10 {
		t.Errorf("of %d questions %d are allowed: the worlds are not worth asking about", questions, allowed)
	}
	t.Logf("%d worlds, %d questions, %d allowed", *worlds, questions, allowed)
}

// plainPorts leaves each pod one port of a name: Cilium knows no more.
func plainPorts(s *cluster.Snapshot) {
	for name, pod := range s.Pods {
		own := *pod
		own.Ports = nil
		for _, p := range pod.Ports {
			if len(own.Resolve(p.Name, p.Protocol)) == 0 {
				own.Ports = append(own.Ports, p)
			}
		}
		s.Pods[name] = &own
	}
}

// questionsOf are the directions of connections in which policies are asked.
// Type 0 of ICMP is every type to Cilium, and a pod's own node is always let in
// by us.
func questionsOf(connections []verdict.Connection) []asked {
	var all []asked
	for _, c := range connections {
		if c.From.Addr == c.To.Addr || c.Protocol.HasTypes() && c.Port>>8 == 0 {
			continue
		}
		if c.From.NetworkPod() != nil {
			all = append(all, asked{c, traffic.Egress})
		}
		if pod := c.To.NetworkPod(); pod != nil && c.From.Host() != pod.Node {
			all = append(all, asked{c, traffic.Ingress})
		}
	}
	return all
}

// difference is the first question on which the opinions differ, nil if there is
// none, and how many are answered with yes.
func difference(w *gen.World, objects *gen.CiliumObjects, questions []asked, nodes bool) (differing *asked, allowed int, err error) {
	ours, err := NewOurs(w.Snapshot, objects)
	if err != nil {
		return nil, 0, fmt.Errorf("ours: %w", err)
	}
	theirs, err := NewTheirs(w.Snapshot, objects, outside(w), nodes)
	if err != nil {
		return nil, 0, fmt.Errorf("theirs: %w", err)
	}
	for _, q := range questions {
		yes, err := theirs.Allows(q.Connection, q.Direction)
		if err != nil {
			return nil, 0, fmt.Errorf("theirs: %w", err)
		}
		if yes != ours.Allows(q.Connection, q.Direction) {
			return &q, allowed, nil
		}
		if yes {
			allowed++
		}
	}
	return nil, allowed, nil
}

func outside(w *gen.World) []netip.Addr {
	found := map[netip.Addr]struct{}{}
	for _, e := range w.Endpoints() {
		if e.Pod == nil && e.Node == "" {
			found[e.Addr] = struct{}{}
		}
	}
	return slices.SortedFunc(maps.Keys(found), netip.Addr.Compare)
}

// report is the difference with the fewest policies that show it.
func report(w *gen.World, objects *gen.CiliumObjects, q asked, nodes bool) string {
	few := shrink(objects, func(less *gen.CiliumObjects) bool {
		differing, _, err := difference(w, less, []asked{q}, nodes)
		return err == nil && differing != nil
	})
	ours, err := NewOurs(w.Snapshot, few)
	if err != nil {
		return err.Error()
	}
	decision := ours.Evaluate(q.Connection).Ingress
	if q.Direction == traffic.Egress {
		decision = ours.Evaluate(q.Connection).Egress
	}
	ends := ""
	for _, e := range []verdict.Endpoint{q.From, q.To} {
		if e.Pod != nil {
			ends += fmt.Sprintf("\n%s: %v of %s on %s, namespace %v", e, e.Pod.Labels, e.Pod.ServiceAccount, e.Pod.Node, w.Snapshot.NamespaceLabels(e.Pod.Namespace))
		}
	}
	return fmt.Sprintf("%s of %s: ours %s, theirs not: %s%s\n%s", q.Direction, q.Connection, decision.Verdict, decision.Reason, ends, text(few))
}

func text(objects *gen.CiliumObjects) string {
	b, err := yaml.Marshal(objects)
	if err != nil {
		return err.Error()
	}
	return string(b)
}
