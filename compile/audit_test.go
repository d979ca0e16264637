package compile

import (
	"net/netip"
	"testing"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/plan"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// denied is a compiler for a node with one pod, in namespace shop, to which all
// is denied.
func denied(audit bool) *Compiler {
	c := New("n1")
	if audit {
		c.Audit()
	}
	c.SetPod(&cluster.Pod{
		Name: cluster.Name{Namespace: "shop", Name: "web"}, Node: "n1",
		Addrs: []netip.Addr{netip.MustParseAddr("10.0.0.1")},
	})
	c.SetPolicy(&policy.Policy{
		Ref:  policy.Ref{Dialect: policy.Kubernetes, Kind: "NetworkPolicy", Namespace: "shop", Name: "deny"},
		Tier: policy.NetworkPolicyTier.Name, Subject: policy.PodSelector{Namespace: "shop"},
		Ingress: &policy.Rules{Isolates: true},
	})
	return c
}

func (c *Compiler) label(mode string) {
	labels := map[string]string{cluster.NamespaceNameLabel: "shop"}
	if mode != "" {
		labels[cluster.ModeLabel] = mode
	}
	c.SetNamespace(&cluster.Namespace{Name: "shop", Labels: labels})
}

func TestNamespaceChoosesItsMode(t *testing.T) {
	packet := plan.Packet{
		From: netip.MustParseAddr("10.0.0.9"), To: netip.MustParseAddr("10.0.0.1"), Protocol: traffic.TCP, Port: 80,
	}
	for _, test := range []struct {
		cluster bool // audits
		label   string
		want    traffic.Verdict
	}{
		{false, "", traffic.Deny}, {false, "enforce", traffic.Deny}, {false, "audit", traffic.Allow}, {false, "nonsense", traffic.Deny},
		{true, "", traffic.Allow}, {true, "enforce", traffic.Deny}, {true, "audit", traffic.Allow}, {true, "nonsense", traffic.Allow},
	} {
		c := denied(test.cluster)
		c.label(test.label)
		c.Commit()
		if got := c.Plan().Trace(packet); got != test.want {
			t.Errorf("audit %t, label %q: %s, want %s", test.cluster, test.label, got, test.want)
		}
		whole := plan.Text(c.Plan())
		c = denied(test.cluster) // the same in steps, from each other mode
		for _, label := range []string{"audit", "enforce", "", test.label} {
			c.label(label)
			c.Commit()
		}
		if got := plan.Text(c.Plan()); got != whole {
			t.Errorf("audit %t, label %q: in steps it becomes\n%s\nwant\n%s", test.cluster, test.label, got, whole)
		}
	}
}

func TestUndeclaredNamespaceHasTheClustersMode(t *testing.T) {
	c := denied(true)
	c.label("enforce")
	c.Commit()
	c.DeleteNamespace("shop")
	c.Commit()
	for id, class := range c.Plan().Classes {
		if !class.Audit {
			t.Errorf("class %s is enforced", id)
		}
	}
}
